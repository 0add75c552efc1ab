"""Binding: which blob of a weights file goes to which layer, by Caffe's rules.

A binary file's layer goes to the first layer of the network that has its name, an HDF5 file's to the last
(``Net::CopyTrainedLayersFrom``); of several in one file the last stays. Number and shapes of blobs must be the
network's (``Blob::ShapeEquals``): only the four legacy dimensions of a binary file may have ones before them, and
nothing is reinterpreted because it has as many values. Caffe leaves a layer that the file lacks at its filler: a net
with random weights and no error. Here a layer without its blobs is an error, unless its prototxt states them as a
diagonal; layers that only the file has are reported.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caffezoo.errors import BindingError
from caffezoo.formats.blobs import Blob, LayerBlobs, WeightsFile
from caffezoo.net.diagonal import stated_blobs
from caffezoo.net.layer import Shape
from caffezoo.net.node import BlobPlace, Node, check_finite, shared_blobs


@dataclass(frozen=True)
class Binding:
    """What :func:`bind` found.

    Attributes
    ----------
    weights : dict of str to tuple of ndarray
        Blobs of every layer that owns any, by :attr:`Node.key`, float32, of the network's shapes; as the file's
        reader holds them.
    unused : tuple of str
        Layers of the file with blobs that the network has no layer for.
    notes : tuple of str
        Warnings: unused layers, layers that stand twice in the file.
    """

    weights: dict[str, tuple[np.ndarray, ...]]
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def bind(nodes: Sequence[Node], file: WeightsFile, left_out: Collection[str] = ()) -> Binding:
    """Give every layer of a network its blobs from a file.

    Parameters
    ----------
    nodes : sequence of Node
    file : WeightsFile
    left_out : collection of str
        Layers of the prototxt that are not in the network: they are nothing to be told of in the file.

    Raises
    ------
    BindingError
        If blobs are missing, too few, too many or of another shape, or hold a value that is not finite; the message
        names the first such layer, the wanted and the found shapes, and counts the others.
    """
    targets = _targets(nodes, file.format)
    owners = shared_blobs(nodes)
    values: dict[BlobPlace, np.ndarray] = {}
    notes = list(file.warnings)
    faults: dict[str, BindingError] = {}
    filled: set[str] = set()
    for entry in file.layers:
        node = targets.get(entry.name)
        if node is None:
            continue
        try:
            _check(node, entry, file.format, owners)
        except BindingError as error:
            faults.setdefault(node.key, error)
            continue
        if node.key in filled and entry.blobs:
            notes.append(f"{file.path}: layer '{entry.name}' stands twice; its last blobs are taken, as in Caffe")
        filled.add(node.key)
        for i, blob in enumerate(entry.blobs):
            values[owners.get((node.key, i), (node.key, i))] = _fitted(node, i, blob)
    for node in nodes:
        stated = None if node.key in filled or node.key in faults else stated_blobs(node)
        if stated is not None:
            values.update({(node.key, i): blob for i, blob in enumerate(stated)})
            notes.append(f"{file.path}: lacks layer '{node.name}'; it has the diagonal that the prototxt states")
    weights: dict[str, tuple[np.ndarray, ...]] = {}
    for node in nodes:
        if node.blob_shapes and node.key not in faults:
            try:
                weights[node.key] = _blobs(node, values, owners, file, targets)
            except BindingError as error:
                faults[node.key] = error
    if faults:
        raise _first(nodes, faults, file, whole=not filled)
    known = targets.keys() | set(left_out)
    unused = tuple(layer.name for layer in file.layers if layer.blobs and layer.name not in known)
    if unused:
        shown = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
        notes.append(f"{file.path}: layers of the file that the network does not have: {shown}")
    return Binding(weights, unused, tuple(notes))


def _targets(nodes: Sequence[Node], file_format: str) -> dict[str, Node]:
    """Return the node that a file's layer of a name goes to."""
    last_wins = nodes if file_format == "hdf5" else tuple(reversed(nodes))
    return {node.name: node for node in last_wins}


def _check(node: Node, entry: LayerBlobs, file_format: str, owners: Mapping[BlobPlace, BlobPlace]) -> None:
    """Raise where Caffe refuses to copy a file's layer."""
    wanted, found = node.blob_shapes, entry.blobs
    shapes = [list(b.data.shape) for b in found]
    if len(found) > len(wanted):
        raise BindingError(f"wants {len(wanted)} blob(s), the file has {len(found)}: {shapes}", where=node.layer.label)
    if len(found) < len(wanted):
        lacking = [i for i in range(len(found), len(wanted)) if file_format != "hdf5" or (node.key, i) not in owners]
        if lacking:
            message = (
                f"blob {lacking[0]} of shape {list(wanted[lacking[0]])} is missing: the file has {len(found)} blob(s)"
            )
            raise BindingError(message, where=node.layer.label)
    for i, (shape, blob) in enumerate(zip(wanted, found, strict=False)):
        if not _equals(shape, blob) and node.layer.fit_blob(i, blob.data, shape) is None:
            message = f"blob {i} has shape {list(blob.data.shape)} in the file, wanted {list(shape)}"
            same = math.prod(shape) == blob.data.size
            hint = "as many values in another layout: Caffe refuses them too; was the file converted?" if same else None
            raise BindingError(message, where=node.layer.label, hint=hint)
        check_finite(np.asarray(blob.data), i, node.layer.label)


def _fitted(node: Node, index: int, blob: Blob) -> np.ndarray:
    """Return a file's blob as the layer takes it."""
    shape = node.blob_shapes[index]
    made = None if _equals(shape, blob) else node.layer.fit_blob(index, blob.data, shape)
    return blob.data if made is None else made


def _equals(wanted: Shape, blob: Blob) -> bool:
    """Caffe's ``Blob::ShapeEquals``: four legacy dimensions equal a shape of up to four with ones before it."""
    found = tuple(blob.data.shape)
    return found == ((1,) * (4 - len(wanted)) + wanted if blob.legacy else wanted)


def _blobs(
    node: Node,
    values: Mapping[BlobPlace, np.ndarray],
    owners: Mapping[BlobPlace, BlobPlace],
    file: WeightsFile,
    targets: Mapping[str, Node],
) -> tuple[np.ndarray, ...]:
    found = []
    for i, shape in enumerate(node.blob_shapes):
        owner = owners.get((node.key, i), (node.key, i))
        value = values.get(owner)
        if value is None:
            raise _missing(node, i, owner, file, targets)
        found.append(value if value.shape == shape else value.reshape(shape))
    return tuple(found)


def _missing(node: Node, index: int, owner: BlobPlace, file: WeightsFile, targets: Mapping[str, Node]) -> BindingError:
    shape = list(node.blob_shapes[index])
    if owner != (node.key, index):
        message = f"blob {index} is shared with layer '{owner[0]}', which does not provide it"
        return BindingError(message, where=node.layer.label)
    target = targets[node.name]
    if target is not node:
        message = f"blob {index} of shape {shape} is missing: a file's blobs go to the other layer of this name"
        where = f" ({target.layer.where})" if target.layer.where else ""
        return BindingError(message + where, where=node.layer.label, hint="Caffe would use its filler; rename one")
    message = f"blob {index} of shape {shape} is missing: the file has no such layer"
    return BindingError(message, where=node.layer.label)


def _first(
    nodes: Sequence[Node], faults: Mapping[str, BindingError], file: WeightsFile, *, whole: bool
) -> BindingError:
    """Return the first fault in the network's order, with the number of the others."""
    first = next(faults[node.key] for node in nodes if node.key in faults)
    if len(faults) > 1:
        first.message += f" ({len(faults) - 1} more layers do not fit)"
    first.where = f"{file.path}: {first.where}"
    wanted = sum(1 for n in nodes if n.blob_shapes)
    if whole and len(faults) >= wanted and first.hint is None:
        first.hint = "is this the caffemodel of another network?"
    return first
