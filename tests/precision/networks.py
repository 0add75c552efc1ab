"""A small classifier in files, with images that it tells apart."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network

PROTOTXT = """
name: "small"
input: "data" input_shape { dim: 1 dim: 3 dim: 24 dim: 24 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 3 stride: 2 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv/2" type: "Convolution" bottom: "conv1" top: "conv2"
        convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc" inner_product_param { num_output: 6 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
MEAN, STD = ("100", "110", "120"), ("50", "60", "70")


def small_network() -> Network:
    net = Network.from_text(PROTOTXT)
    return net.with_weights(seeded_weights(net)[0])


def write_files(folder: Path, images: int = 12) -> Path:
    """Write net.prototxt, net.caffemodel, images/ with a list.txt, and calibration/."""
    net = small_network()
    (folder / "net.prototxt").write_text(PROTOTXT)
    write_caffemodel(folder / "net.caffemodel", net.prototxt.net, net.weights)
    draw = np.random.default_rng(0)
    for name, count in (("images", images), ("calibration", 10)):
        (folder / name).mkdir()
        for i in range(count):
            coarse = draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            pixels = cv2.resize(coarse, (30, 30), interpolation=cv2.INTER_CUBIC)
            (folder / name / f"{i:02d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    (folder / "list.txt").write_text("".join(f"{i:02d}.png {i % 6}\n" for i in range(images)))
    return folder


def flags(folder: Path) -> list[str]:
    """Flags of the network and its images."""
    network = ["--prototxt", str(folder / "net.prototxt"), "--weights", str(folder / "net.caffemodel")]
    scaling = ["--mean", *MEAN, "--std", *STD, "--base-size", "28"]
    return [*network, *scaling, "--data", str(folder / "images"), "--val-file", str(folder / "list.txt")]
