"""Weights for Metal's convolution kernels: headerless little-endian float32, one file a blob.

``weights_<name>.dat`` holds a kernel as [out][kh][kw][in], the order of MPSCNNConvolution, and of a fully connected
layer as [out][in], where ``in`` runs over rows, columns and channels if a feature map feeds it. ``bias_<name>.dat`` is
[out]. The format, the names of Inception v3 and the line that compares two folders are those of
kakugawa/MetalCNNWeights, convert.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from caffezoo.errors import LoweringError, UsageError, WeightsFileError
from caffezoo.net.graph import Network, Node

DTYPE = np.dtype("<f4")


@dataclass(frozen=True)
class MetalLayer:
    """A layer's files.

    Attributes
    ----------
    name : str
        As it stands in the files' names.
    weights : ndarray
        [out, kh, kw, in / group] or [out, in].
    bias : ndarray
        [out]; zeros where the layer has none.
    """

    name: str
    weights: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class MetalDelta:
    """Largest absolute differences of a layer's files in two folders; None where the other folder has not both."""

    name: str
    weights: float | None
    bias: float | None

    def __str__(self) -> str:
        if self.weights is None or self.bias is None:
            return f"{self.name:<40}"
        return f"{self.name:<40} [max delta: w={self.weights:<8f} b={self.bias:<8f}]"

    @property
    def largest(self) -> float:
        return max(self.weights or 0.0, self.bias or 0.0)


def metal_layers(network: Network, names: tuple[str, ...] | None = None) -> Iterator[MetalLayer]:
    """Yield the layers of a folded network that multiply by weights, in order.

    Parameters
    ----------
    network : Network
        With weights, folded: a layer with weights that is no product has no place in the format.
    names : tuple of str, optional
        Names in the files, in the same order; else the layers' own, ``/`` and other unusual characters as ``_``.

    Raises
    ------
    LoweringError
        A layer cannot be written in this format, or there are more or fewer than names.
    """
    nodes = [node for node in network.nodes if node.blob_shapes]
    for node in nodes:
        if node.layer.kernel(network.weights[node.key], node.bottom_shapes) is None:
            raise LoweringError(
                "has weights and is no convolution or inner product", where=node.layer.label, hint="fold it first"
            )
    if names is not None and len(names) != len(nodes):
        raise LoweringError(f"has {len(nodes)} layers with weights, {len(names)} names are given", where=network.path)
    own = names or tuple(_file_name(node.name) for node in nodes)
    if len(set(own)) != len(own):
        raise LoweringError("two layers would have files of one name", where=network.path)
    for node, name in zip(nodes, own, strict=True):
        yield _layer(network, node, name)


def export_metal(network: Network, folder: Path, names: tuple[str, ...] | None = None) -> list[Path]:
    """Write the files of every layer into a folder that is not there yet, all or none.

    Raises
    ------
    UsageError
        The folder is there.
    WeightsFileError
        It cannot be written.
    LoweringError
    """
    if folder.exists():
        raise UsageError("is there already", where=str(folder), hint="name another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            inside = Path(temporary) / folder.name
            inside.mkdir()
            files = []
            for layer in metal_layers(network, names):
                for kind, values in (("weights", layer.weights), ("bias", layer.bias)):
                    file = inside / f"{kind}_{layer.name}.dat"
                    file.write_bytes(np.ascontiguousarray(values, DTYPE).tobytes())
                    files.append(folder / file.name)
            shutil.move(inside, folder)
    except OSError as error:
        raise WeightsFileError(f"cannot be written: {error.strerror or error}", where=str(folder)) from None
    return files


def compare_metal(network: Network, folder: Path, names: tuple[str, ...] | None = None) -> Iterator[MetalDelta]:
    """Hold a network's layers against the files of a folder.

    Raises
    ------
    WeightsFileError
        A file is of another size.
    """
    for layer in metal_layers(network, names):
        files = [folder / f"{kind}_{layer.name}.dat" for kind in ("weights", "bias")]
        if not all(file.is_file() for file in files):
            yield MetalDelta(layer.name, None, None)
            continue
        deltas = []
        for file, ours in zip(files, (layer.weights, layer.bias), strict=True):
            theirs = _read(file, ours.size)
            deltas.append(float(np.abs(theirs.astype(np.float64) - ours.reshape(-1)).max(initial=0)))
        yield MetalDelta(layer.name, *deltas)


def _layer(network: Network, node: Node, name: str) -> MetalLayer:
    blobs = network.weights[node.key]
    kernel = node.layer.kernel(blobs, node.bottom_shapes)
    assert kernel is not None
    weights = np.moveaxis(kernel, 1, -1)
    if not node.top_shapes[0][2:]:  # [out][in], whatever the feature map was
        weights = weights.reshape(len(weights), -1)
    bias = blobs[1] if len(blobs) > 1 else np.zeros(len(weights), np.float32)
    return MetalLayer(name, np.ascontiguousarray(weights), np.asarray(bias).reshape(-1))


def _file_name(layer: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in layer)


def read_metal(network: Network, folder: Path, names: tuple[str, ...] | None = None) -> Network:
    """Return a folded network with the weights of a folder's files.

    Raises
    ------
    WeightsFileError
        A file is missing or of another size.
    LoweringError
        A layer's blobs cannot be made of its files.
    """
    weights = dict(network.weights)
    nodes = [node for node in network.nodes if node.blob_shapes]
    for node, layer in zip(nodes, metal_layers(network, names), strict=True):
        own = network.weights[node.key]
        kernel = node.layer.kernel(own, node.bottom_shapes)
        assert kernel is not None
        values = [_read(folder / f"weights_{layer.name}.dat", layer.weights.size)]
        file_order = (len(kernel), *kernel.shape[2:], kernel.shape[1])
        values[0] = np.moveaxis(values[0].reshape(file_order), -1, 1)
        blobs = [np.ascontiguousarray(values[0]).reshape(own[0].shape)]
        bias = _read(folder / f"bias_{layer.name}.dat", layer.bias.size)
        if len(own) > 1:
            blobs.append(bias.reshape(own[1].shape))
        again = node.layer.kernel(blobs, node.bottom_shapes)
        if again is None or not np.array_equal(again, values[0]) or (len(own) == 1 and bias.any()):
            raise LoweringError("its blobs cannot be made of its files", where=node.layer.label)
        weights[node.key] = tuple(blobs)
    return network.with_weights(weights)


def _read(file: Path, count: int) -> np.ndarray:
    try:
        found = np.fromfile(file, DTYPE)
    except OSError as error:
        raise WeightsFileError(f"cannot be read: {error.strerror or error}", where=str(file)) from None
    if found.size != count or file.stat().st_size != count * DTYPE.itemsize:
        size = file.stat().st_size
        raise WeightsFileError(f"has {size} bytes, wanted are {count * DTYPE.itemsize}", where=str(file))
    return found.astype(np.float32)
