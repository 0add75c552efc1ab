"""Small classifiers as people bring them, drawn by a seed: inputs of any size, grey or colour, heads of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.prototxt import parse_prototxt

Blobs = dict[str, list[NDArray[np.float32]]]

TAILS = (
    "logits",
    "softmax",
    "softmax in place",
    "flatten",
    "reshape",
    "dropout",
    "sigmoid",
    "average",
    "auxiliary last",
    "average of logits",
)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A network with its weights and what belongs to it.

    Attributes
    ----------
    text : str
    weights : dict
    output : str
        The blob of scores in the prototxt.
    softmax : bool
        Whether they still have to go through softmax.
    classes, channels : int
    size : (height, width)
    mean, std : tuple of float
        Blue, green, red, or one value.
    auxiliary : str
        Another head's blob; empty where there is none.
    """

    text: str
    weights: Blobs
    output: str
    softmax: bool
    classes: int
    channels: int
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tail: str
    auxiliary: str = ""

    def write(self, folder: Path, weights: Blobs | None = None) -> tuple[Path, Path]:
        """Write prototxt and caffemodel."""
        prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
        prototxt.write_text(self.text)
        write_caffemodel(caffemodel, parse_prototxt(self.text).net, weights or self.weights)
        return prototxt, caffemodel

    def blob(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return an image of the network's size as its input blob."""
        x = image.reshape(*self.size, self.channels).astype(np.float32)
        x = (x - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(x.transpose(2, 0, 1)[np.newaxis])

    def scores(self, blob: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what is to be shown, of the values of the blob of scores."""
        x = blob.reshape(-1).astype(np.float64)
        if not self.softmax:
            return x
        e = np.exp(x - x.max())
        return np.asarray(e / e.sum())


def _layer(name: str, kind: str, bottom: str, top: str, param: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {param} }}\n'


def draw(seed: int, *, classes: int | None = None, tail: str | None = None, channels: int | None = None) -> Drawn:
    """Return the network of a seed."""
    rng = np.random.default_rng(seed)
    tail = tail or TAILS[int(rng.integers(len(TAILS)))]
    classes = classes or int(rng.integers(2, 12))
    channels = channels or int(rng.choice([1, 3, 3]))
    height, width = (int(v) for v in rng.integers(11, 27, 2))
    kernels = int(rng.integers(4, 8))
    size = (height, width)
    by_map = tail in ("average", "average of logits")
    dims = f"dim: 1 dim: {channels} dim: {height} dim: {width}"
    text = f'name: "drawn"\nlayer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}\n'
    text += _layer(
        "conv", "Convolution", "data", "conv", f"convolution_param {{ num_output: {kernels} kernel_size: 3 }}"
    )
    text += _layer("relu", "ReLU", "conv", "conv")
    pooled = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
    text += _layer("pool", "Pooling", "conv", "pool", pooled)
    features = kernels * -(-(height - 2) // 2) * -(-(width - 2) // 2)
    weights: Blobs = {
        "conv": [
            rng.normal(0, 0.4, (kernels, channels, 3, 3)).astype(np.float32),
            rng.normal(0, 0.1, kernels).astype(np.float32),
        ]
    }
    if by_map:
        weights["fc"] = [rng.normal(0, 1.5, (classes, kernels, 1, 1)), rng.normal(0, 0.1, classes)]
        text += _layer(
            "fc", "Convolution", "pool", "fc", f"convolution_param {{ num_output: {classes} kernel_size: 1 }}"
        )
    else:
        weights["fc"] = [rng.normal(0, 2 / features**0.5, (classes, features)), rng.normal(0, 0.1, classes)]
        text += _layer("fc", "InnerProduct", "pool", "fc", f"inner_product_param {{ num_output: {classes} }}")
    weights["fc"] = [np.asarray(b, np.float32) for b in weights["fc"]]
    output, softmax, auxiliary = "prob", False, ""
    average = "pooling_param { pool: AVE global_pooling: true }"
    if tail in ("logits", "average of logits"):
        output, softmax = "fc", True
        if by_map:
            text += _layer("mean", "Pooling", "fc", "mean", average)
            output = "mean"
    elif tail == "softmax in place":
        text += _layer("prob", "Softmax", "fc", "fc")
        output = "fc"
    elif tail == "sigmoid":
        text += _layer("prob", "Sigmoid", "fc", "prob")
    else:
        text += _layer("prob", "Softmax", "fc", "prob")
    if tail == "flatten":
        text += _layer("flat", "Flatten", "prob", "flat")
        output = "flat"
    elif tail == "reshape":
        text += _layer("re", "Reshape", "prob", "re", f"reshape_param {{ shape {{ dim: 0 dim: {classes} dim: 1 }} }}")
        output = "re"
    elif tail == "dropout":
        text += _layer("drop", "Dropout", "prob", "prob")
    elif tail == "average":
        text += _layer("mean", "Pooling", "prob", "mean", average)
        output = "mean"
    elif tail == "auxiliary last":
        auxiliary = "aux"
        weights["aux_fc"] = [
            rng.normal(0, 0.5, (classes, channels * height * width)).astype(np.float32) / np.float32(height),
            np.zeros(classes, np.float32),
        ]
        text += _layer("aux_fc", "InnerProduct", "data", "aux_fc", f"inner_product_param {{ num_output: {classes} }}")
        text += _layer("aux", "Softmax", "aux_fc", "aux")
    mean = tuple(float(v) for v in rng.uniform(60, 140, channels).round(2))
    std = tuple(float(v) for v in rng.uniform(30, 80, channels).round(2))
    return Drawn(text, weights, output, softmax, classes, channels, size, mean, std, tail, auxiliary)


def picture(seed: int, size: tuple[int, int], channels: int = 3) -> NDArray[np.uint8]:
    """Return an image of smooth waves and some noise: (height, width, 3), or (height, width) for one channel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [
        128
        + 110
        * np.sin(x * rng.uniform(0.1, 1) + rng.uniform(0, 6))
        * np.cos(y * rng.uniform(0.1, 1) + rng.uniform(0, 6))
        for _ in range(channels)
    ]
    image = np.clip(np.stack(waves, -1) + rng.normal(0, 8, (*size, channels)), 0, 255).astype(np.uint8)
    return image if channels == 3 else image[..., 0]
