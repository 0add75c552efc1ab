"""Binding: which blob of a weights file goes to which layer.

Caffe binds by layer name, first match, and leaves a layer that the file lacks at its filler: a net with random weights
and no error. Here a layer without its blobs is an error; layers that only the file has are reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from caffezoo.errors import BindingError
from caffezoo.formats.caffemodel import Blob, LayerBlobs, WeightsFile
from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import Shape


@dataclass(frozen=True)
class Binding:
    """What :func:`bind` found.

    Attributes
    ----------
    weights : dict of str to tuple of ndarray
        Blobs of every layer that owns any, float32, of the network's shapes.
    unused : tuple of str
        Layers of the file with blobs that the network has no layer for.
    notes : tuple of str
        Warnings: unused layers, blobs reshaped.
    """

    weights: dict[str, tuple[np.ndarray, ...]]
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def bind(network: Network, file: WeightsFile) -> Binding:
    """Give every layer of a network its blobs from a file.

    Raises
    ------
    BindingError
        If blobs are missing, too few, too many or of another shape; the message names the first such layer, the wanted
        and the found shapes, and counts the others.
    """
    source = file.by_name()
    owners = _shared_owners(network)
    weights: dict[str, tuple[np.ndarray, ...]] = {}
    notes = list(file.warnings)
    faults = []
    for node in network.nodes:
        if not node.blob_shapes:
            continue
        entry = source.get(node.name)
        try:
            weights[node.name] = _blobs(node, entry, weights, owners, notes)
        except BindingError as error:
            faults.append(error)
    if faults:
        first = faults[0]
        if len(faults) > 1:
            first.message += f" ({len(faults) - 1} more layers do not fit)"
        first.where = f"{file.path}: {first.where}"
        if len(faults) == sum(1 for n in network.nodes if n.blob_shapes) and not set(source) & set(weights):
            first.hint = "is this the caffemodel of another network?"
        raise first
    known = {n.name for n in network.nodes}
    unused = tuple(layer.name for layer in file.layers if layer.blobs and layer.name not in known)
    if unused:
        shown = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
        notes.append(f"{file.path}: layers of the file that the network does not have: {shown}")
    return Binding(weights, unused, tuple(notes))


def _shared_owners(network: Network) -> dict[tuple[str, int], tuple[str, int]]:
    """Map (layer, blob) to the (layer, blob) that owns it, for blobs shared by ``param { name }``."""
    first: dict[str, tuple[str, int]] = {}
    owners = {}
    for node in network.nodes:
        for i, param in enumerate(node.layer.proto.param[: len(node.blob_shapes)]):
            if param.name:
                owner = first.setdefault(param.name, (node.name, i))
                if owner != (node.name, i):
                    owners[node.name, i] = owner
    return owners


def _blobs(
    node: Node,
    entry: LayerBlobs | None,
    bound: dict[str, tuple[np.ndarray, ...]],
    owners: dict[tuple[str, int], tuple[str, int]],
    notes: list[str],
) -> tuple[np.ndarray, ...]:
    found = entry.blobs if entry else ()
    out: list[np.ndarray] = []
    for i, wanted in enumerate(node.blob_shapes):
        if i < len(found):
            out.append(_fit(node, i, wanted, found[i], notes))
        elif (node.name, i) in owners:
            layer, index = owners[node.name, i]
            if layer not in bound or bound[layer][index].shape != wanted:
                raise BindingError(
                    f"blob {i} is shared with layer '{layer}', which does not provide it", where=node.layer.label
                )
            out.append(bound[layer][index])
        else:
            have = f"has {len(found)} blob(s)" if entry else "has no such layer"
            raise BindingError(f"blob {i} of shape {list(wanted)} is missing: the file {have}", where=node.layer.label)
    if len(found) > len(node.blob_shapes):
        shapes = [list(b.data.shape) for b in found]
        raise BindingError(
            f"wants {len(node.blob_shapes)} blob(s), the file has {len(found)}: {shapes}", where=node.layer.label
        )
    return tuple(out)


def _fit(node: Node, index: int, wanted: Shape, blob: Blob, notes: list[str]) -> np.ndarray:
    """Return a file's blob in the wanted shape.

    Legacy 4-D shapes are compared as Caffe does, with the wanted shape padded by leading ones. Beyond Caffe, blobs that
    differ in axes of length one only are taken (forks write BatchNorm blobs as 1 x C x 1 x 1, and fully connected
    layers saved as convolutions keep their element order); anything else of equal size is taken with a note.
    """
    found = tuple(blob.data.shape)
    if found == wanted:
        return blob.data
    if math.prod(found) == math.prod(wanted):
        legacy = blob.legacy and (1,) * (4 - len(wanted)) + wanted == found
        if not legacy and [d for d in found if d != 1] != [d for d in wanted if d != 1]:
            notes.append(f"layer '{node.name}': blob {index} of shape {list(found)} taken as {list(wanted)}")
        return blob.data.reshape(wanted)
    raise BindingError(f"blob {index} has shape {list(found)}, wanted {list(wanted)}", where=node.layer.label)
