"""The layers of a Keras model that have weights: what they are called, in which order a model lists them, what becomes
of each weight.

:class:`caffezoo.zoo.keras_builder.KerasBuilder` writes them down while it builds the Caffe network, so the tensor map
is a by-product of the generator. Weights are named by their layer and their role; a file may name the layers or not:

* By name, as in Keras' own ``.h5`` and in ``.weights.h5`` from Keras 3.10 on. ``/`` and ``_`` are one character, as
  Keras 3 renamed ``conv1/conv`` to ``conv1_conv``. Automatic names count up in the order of creation.
* By order: a ``.weights.h5`` of Keras 2.12 to 3.9 has a layer's class and the number of the layer within that class,
  in the order of ``model.layers``. Keras sorts those by distance from the output, the farthest first, and layers at
  one distance in the order in which a depth-first walk from the output meets them. Source:
  ``keras/src/ops/function.py`` (``map_graph``), ``keras/src/saving/saving_lib.py`` (``_save_container_state``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.zoo.tensor_map import BlobSource, Change, Conventions, TensorMap

# Layers of Caffe that are part of another layer in Keras, or that stand for none.
SILENT = frozenset(("Input", "Scale", "Bias", "Slice", "Silence", "Power", "Tile", "Softmax"))

# In the order BGR, of pixels 0..255. Source: imagenet_utils.preprocess_input of keras-applications, by its
# modes; `unit` is none of its, but what many models of others take.
CONVENTIONS = {
    "caffe": Conventions((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), "2012"),
    "unit": Conventions((0.0,) * 3, (255.0,) * 3),  # no order of classes: of networks that do not have ImageNet's
    "tf": Conventions((127.5,) * 3, (127.5,) * 3, "2012"),
    "torch": Conventions((0.406 * 255, 0.456 * 255, 0.485 * 255), (0.225 * 255, 0.224 * 255, 0.229 * 255), "2012"),
}


@dataclass(frozen=True)
class KerasLayer:
    """One layer with weights.

    Attributes
    ----------
    kind : str
        Class in Keras' snake case: ``conv2d``, ``depthwise_conv2d``, ``separable_conv2d``, ``batch_normalization``,
        ``dense``.
    name : str
        Keras' name.
    blobs : mapping of str to tuple of BlobSource
        By Caffe layer; ``tensor`` is the weight's role. The last Caffe layer is the one that stands for the whole.
    """

    kind: str
    name: str
    blobs: Mapping[str, tuple[BlobSource, ...]]


def hwio_to_oihw(kernel: np.ndarray) -> np.ndarray:
    """Turn a Conv2D kernel (height, width, in, out) into Caffe's (out, in, height, width)."""
    if kernel.ndim != 4:
        raise ValueError("a convolution's kernel has four axes")
    return kernel.transpose(3, 2, 0, 1)


def grouped(channels: int) -> Change:
    """Return the change of a DepthwiseConv2D kernel into that of a convolution with ``channels`` channels a group.

    Keras' kernel is (height, width, in, multiplier). With one channel a group it is depthwise in Caffe too. ResNeXt
    has as many products for an input channel as a group has channels, and adds those of a group up: output ``m`` of
    group ``g`` is the sum over ``t`` of product ``m`` of channel ``g * channels + t``.
    """

    def changed(kernel: np.ndarray) -> np.ndarray:
        if kernel.ndim != 4 or kernel.shape[3] != channels or kernel.shape[2] % channels:
            raise ValueError("not a depthwise kernel of such a multiplier")
        height, width, total, _ = kernel.shape
        by_group = kernel.reshape(height, width, total // channels, channels, channels)
        return by_group.transpose(2, 4, 3, 0, 1).reshape(total, channels, height, width)

    changed.__name__ = f"depthwise_to_groups_of_{channels}"
    return changed


def transposed(matrix: np.ndarray) -> np.ndarray:
    """Turn a Dense matrix (in, out) into Caffe's (out, in)."""
    if matrix.ndim != 2:
        raise ValueError("a matrix has two axes")
    return matrix.T


def flattened(size_px: int) -> Change:
    """Return the change of a Dense matrix behind a flattened square map of that edge: H, W, C becomes C, H, W."""

    def changed(matrix: np.ndarray) -> np.ndarray:
        rows, out = matrix.shape
        by_place = matrix.reshape(size_px, size_px, rows // size_px**2, out)
        return by_place.transpose(3, 2, 0, 1).reshape(out, rows)

    changed.__name__ = f"flattened_{size_px}x{size_px}_hwc_to_chw"
    return changed


def model_order(net: pb.NetParameter, layers: Sequence[KerasLayer], lengths: Mapping[str, int]) -> list[KerasLayer]:
    """Return layers in the order of Keras' ``model.layers``.

    Parameters
    ----------
    net : NetParameter
        The Caffe network.
    layers : sequence of KerasLayer
        In any order.
    lengths : mapping of str to int
        How many Keras layers a Caffe layer stands for, where that is not one (nor none, as for :data:`SILENT`).
    """
    sources: list[list[int]] = []
    writer: dict[str, int] = {}
    for i, layer in enumerate(net.layer):
        # Of a product, the second factor corrects an average; Keras has none.
        product = layer.type == "Eltwise" and layer.eltwise_param.operation == pb.EltwiseParameter.PROD
        sources.append([writer[blob] for blob in (layer.bottom[:1] if product else layer.bottom)])
        writer.update(dict.fromkeys(layer.top, i))
    depths = [0] * len(sources)
    for i in reversed(range(len(sources))):
        layer = net.layer[i]
        depths[i] += lengths.get(layer.name, 0 if layer.type in SILENT else 1)
        for source in sources[i]:
            depths[source] = max(depths[source], depths[i])
    met: dict[int, int] = {}
    stack = [len(sources) - 1]
    while stack:
        if (i := stack.pop()) not in met:
            met[i] = len(met)
            stack.extend(reversed(sources[i]))
    place = {layer.name: (-depths[i], met[i]) for i, layer in enumerate(net.layer) if i in met}
    return sorted(layers, key=lambda layer: place[next(reversed(list(layer.blobs)))])


def named_map(
    layers: Iterable[KerasLayer], mode: str, renamed: Mapping[str, str], unused: tuple[str, ...]
) -> TensorMap:
    """Return the map of files that name layers; ``renamed`` holds the names there by the names here."""
    return _map(((renamed.get(x.name, x.name).replace("/", "_"), x) for x in layers), mode, unused)


def ordered_map(layers: Iterable[KerasLayer], mode: str, unused: tuple[str, ...]) -> TensorMap:
    """Return the map of files that count layers by class; ``layers`` in the order of the model."""
    numbers: Counter[str] = Counter()
    keyed = []
    for layer in layers:
        keyed.append((f"{layer.kind}[{numbers[layer.kind]}]", layer))
        numbers[layer.kind] += 1
    return _map(keyed, mode, unused)


def _map(keyed: Iterable[tuple[str, KerasLayer]], mode: str, unused: tuple[str, ...]) -> TensorMap:
    blobs: dict[str, tuple[BlobSource, ...]] = {}
    for key, layer in keyed:
        for caffe, sources in layer.blobs.items():
            blobs[caffe] = tuple(s if s.tensor is None else replace(s, tensor=f"{key}/{s.tensor}") for s in sources)
    return TensorMap(blobs, unused=unused, conventions=CONVENTIONS[mode])
