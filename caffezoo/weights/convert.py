"""Turn a foreign weights file into a caffemodel for one of the zoo's prototxts, and report every tensor.

Nothing is left out in silence: a tensor that no blob needs and the map does not expect, a blob without its tensor,
a shape that is not the network's are errors that name layer and tensor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.errors import BindingError
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.weights.conventions import adapt, drop_background
from caffezoo.weights.keras_file import read_keras_weights
from caffezoo.weights.safetensors_file import read_torch_tensors
from caffezoo.weights.schemes import choose_scheme, describe, faults, few, maps_of, wanted_tensors
from caffezoo.weights.tfjs_file import read_tfjs_weights
from caffezoo.zoo.tensor_map import AS_THEY_ARE, DIFFERENCES, BlobSource, Conventions, TensorMap

if TYPE_CHECKING:
    from caffezoo.net.graph import Network

# One more whenever a change of this module changes what is written: cached conversions are then made again.
CONVERTER_VERSION = 2

READERS: Mapping[str, Callable[[str | PathLike[str]], dict[str, np.ndarray]]] = {
    "keras": read_keras_weights,
    "torch": read_torch_tensors,
    "tfjs": read_tfjs_weights,
}


@dataclass(frozen=True)
class TensorChange:
    """A tensor that did not go over as it was: the names of the changes, and its shape before and after."""

    tensor: str
    layer: str
    changes: tuple[str, ...]
    shape_before: tuple[int, ...]
    shape_after: tuple[int, ...]


@dataclass(frozen=True)
class ConversionReport:
    """What became of every tensor of a foreign file.

    Attributes
    ----------
    tensors_read, tensors_mapped : int
        Tensors in the file, and those that became blobs.
    unused : tuple of str
        The rest; all of them were expected.
    changed : tuple of TensorChange
    elements_read, elements_written : int
        Numbers in the mapped tensors, and in the blobs: they differ by zero-extended kernels and by what Caffe
        alone has.
    scheme : str
        Whose names the tensors have; empty where the framework has one way.
    notes : tuple of str
        What was changed beside the map: normalisation, order of classes, a background class; and where the network
        computes otherwise than the source.
    """

    tensors_read: int
    tensors_mapped: int
    unused: tuple[str, ...]
    changed: tuple[TensorChange, ...]
    elements_read: int
    elements_written: int
    scheme: str = ""
    notes: tuple[str, ...] = ()


def conversion_recipe(
    network: str,
    framework: str,
    prototxt: str | PathLike[str],
    checksum: str,
    *,
    scheme: str | None = None,
    wanted: Conventions = AS_THEY_ARE,
) -> str:
    """Return a hash over all that decides what a conversion writes; arguments as in :func:`convert_weights`.

    Raises
    ------
    SourceError
        Weights of ``framework`` cannot be converted for ``network``.
    """
    digest = hashlib.sha256(f"{CONVERTER_VERSION}\0{framework}\0{checksum}\0".encode())
    for name, mapping in maps_of(network, framework, READERS).items():
        if scheme in (None, name):
            digest.update(f"{name}\0{mapping.fingerprint}".encode())
    digest.update(f"{scheme}{wanted}".encode())
    with open(prototxt, "rb") as handle:
        digest.update(handle.read())
    return digest.hexdigest()


def convert_weights(
    network: str,
    framework: str,
    source: str | PathLike[str],
    prototxt: str | PathLike[str],
    target: str | PathLike[str],
    *,
    scheme: str | None = None,
    wanted: Conventions = AS_THEY_ARE,
    background: bool = False,
) -> ConversionReport:
    """Convert a file of another framework.

    Parameters
    ----------
    network : str
        Name in the zoo; its architecture's map is used.
    framework : str
        Weights format of the index: ``torch``, ``keras``, ``tfjs``.
    source : path
        The foreign file; of ``tfjs`` also ``ARCHIVE/MEMBER``.
    prototxt : path
        The network's deploy file.
    target : path
        The caffemodel to write.
    scheme : str, optional
        Whose names the tensors have; found by the names where not given.
    wanted : Conventions
        Normalisation and order of classes that the weights shall have; what is None stays the file's.
    background : bool
        The file has one class too many, the first, which is left out.

    Raises
    ------
    SourceError
        There is no reader or no map.
    WeightsFileError
        The foreign file cannot be read.
    BindingError
        Its tensors are not the network's.
    """
    from caffezoo.net.graph import Network

    maps = maps_of(network, framework, READERS)
    state = READERS[framework](source)
    chosen = choose_scheme(network, maps, state, scheme, where=str(source))
    net = Network.load(prototxt)
    blobs, report = convert_state_dict(state, maps[chosen], net, where=str(source), background=background)
    notes = adapt(blobs, net, maps[chosen].conventions, wanted)
    write_caffemodel(target, net.prototxt.net, blobs)
    return replace(report, scheme=chosen, notes=(*report.notes, *notes))


def convert_state_dict(
    state: Mapping[str, np.ndarray],
    mapping: TensorMap,
    net: Network,
    *,
    where: str = "state dict",
    background: bool = False,
) -> tuple[dict[str, list[np.ndarray]], ConversionReport]:
    """Turn tensors into the blobs of a network.

    Parameters
    ----------
    state : mapping of str to ndarray
        Tensors by name.
    mapping : TensorMap
    net : Network
        Says which layers have blobs, and their shapes.
    where : str
        File, for messages.
    background : bool
        The file has one class too many, the first, which is left out.

    Returns
    -------
    blobs : dict of str to list of ndarray
        float32, by layer name.
    report : ConversionReport

    Raises
    ------
    BindingError
        A tensor is missing, of another shape, not finite or not expected; a layer has no blobs in the map, or too many.
    """
    _check_layers(mapping, net)
    wanted = wanted_tensors(mapping)
    unused = tuple(name for name in state if name not in wanted)
    missing, strange = faults(state, mapping)
    if missing or strange:
        raise BindingError(describe(missing, strange), where=where, hint="is this another network's file?")
    state, dropped = drop_background(state, mapping, net, asked=background, where=where)
    blobs: dict[str, list[np.ndarray]] = {}
    changed: list[TensorChange] = []
    for node in net.nodes:
        made = [
            _blob(state, source, shape, node.name, changed, where)
            for source, shape in zip(mapping.layers.get(node.name, ()), node.blob_shapes, strict=True)
        ]
        if made:
            blobs[node.name] = made
    report = ConversionReport(
        tensors_read=len(state),
        tensors_mapped=len(wanted),
        unused=unused,
        changed=tuple(changed),
        elements_read=sum(state[name].size for name in wanted),
        elements_written=sum(blob.size for made in blobs.values() for blob in made),
        notes=(*dropped, *(DIFFERENCES[key] for key in mapping.differences)),
    )
    return blobs, report


def _check_layers(mapping: TensorMap, net: Network) -> None:
    by_name = {node.name: len(node.blob_shapes) for node in net.nodes if node.blob_shapes}
    for layer in dict.fromkeys([*by_name, *mapping.layers]):
        have, need = len(mapping.layers.get(layer, ())), by_name.get(layer, 0)
        if have != need:
            raise BindingError(f"the tensor map gives layer '{layer}' {have} blobs, it has {need}", where=net.name)


def _blob(
    state: Mapping[str, np.ndarray],
    source: BlobSource,
    shape: tuple[int, ...],
    layer: str,
    changed: list[TensorChange],
    where: str,
) -> np.ndarray:
    if source.tensor is None:
        return np.full(shape, source.constant, np.float32)
    tensor = state[source.tensor]
    blob = tensor
    try:
        for change in source.changes:
            blob = change(blob)
    except (ValueError, IndexError) as error:
        message = f"tensor {source.tensor} has shape {list(tensor.shape)}, layer '{layer}' wants {list(shape)}"
        raise BindingError(message, where=where) from error
    if blob.shape != shape:
        after = f", {list(blob.shape)} after {few([c.__name__ for c in source.changes])}" if source.changes else ""
        message = f"tensor {source.tensor} has shape {list(tensor.shape)}{after}, layer '{layer}' wants {list(shape)}"
        raise BindingError(message, where=where)
    if source.changes:
        names = tuple(c.__name__ for c in source.changes)
        changed.append(TensorChange(source.tensor, layer, names, tensor.shape, blob.shape))
    with np.errstate(over="ignore"):
        blob = np.ascontiguousarray(blob, np.float32)
    if not np.isfinite(blob).all():
        raise BindingError(f"tensor {source.tensor} holds numbers that are not finite in float32", where=where)
    return blob
