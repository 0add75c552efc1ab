"""Import: any weights file that a network of the zoo can take, whatever framework wrote it.

Weights of another framework go through the network's tensor map, Caffe's own through the renaming of layers where the
file has another hand's names. Both end as blobs for the network's prototxt, in the order of classes and with the
normalisation that were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.errors import BindingError, SourceError, WeightsFileError
from caffezoo.formats.blobs import Blob, LayerBlobs, WeightsFile
from caffezoo.formats.caffemodel import read_weights
from caffezoo.formats.signature import HDF5_NAME, identify
from caffezoo.weights.conventions import adapt, classifier
from caffezoo.weights.convert import READERS, ConversionReport, TensorChange, convert_state_dict
from caffezoo.weights.safetensors_file import is_safetensors
from caffezoo.weights.schemes import choose_scheme, few, maps_of
from caffezoo.weights.tfjs_file import split_archive_path
from caffezoo.zoo.renaming import renamings
from caffezoo.zoo.tensor_map import AS_THEY_ARE, Conventions

if TYPE_CHECKING:
    from caffezoo.net.graph import Network

CAFFE = "caffe"
# Layers that training nets had and deploy nets left out: GoogLeNet's auxiliary classifiers.
TRAINING_LAYERS = ("loss1/*", "loss2/*")


@dataclass(frozen=True)
class Imported:
    """A network, the blobs made for it and what became of the file's tensors.

    Attributes
    ----------
    network : Network
        Without weights.
    blobs : dict of str to list of ndarray
        float32, by layer name.
    framework : str
        Of the file: ``caffe``, ``torch``, ``keras``, ``tfjs``.
    report : ConversionReport
    """

    network: Network
    blobs: dict[str, list[np.ndarray]]
    framework: str
    report: ConversionReport


def framework_of(path: str | PathLike[str]) -> str:
    """Say which framework wrote a weights file, by its first bytes and, in HDF5, its root.

    Raises
    ------
    WeightsFileError
        It cannot be read, or is of a kind that no framework writes weights in.
    """
    try:
        if split_archive_path(Path(path))[1] is not None:
            return "tfjs"  # the only one whose files may stay in an archive
        kind = identify(path)
    except OSError as error:
        raise WeightsFileError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if kind is None:
        return CAFFE
    if kind == HDF5_NAME:
        return CAFFE if _is_caffe_hdf5(path) else "keras"
    if "torch" in kind or is_safetensors(path):
        return "torch"
    if "Keras" in kind:
        return "keras"
    if "TensorFlow.js" in kind:
        return "tfjs"
    raise WeightsFileError(f"no weights file: it is {kind}", where=str(path))


def _is_caffe_hdf5(path: str | PathLike[str]) -> bool:
    """Whether an HDF5 file has the group that Caffe puts layers into."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "data" in file and "layer_names" not in file.attrs
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsFileError(f"a damaged HDF5 file: {error}", where=str(path)) from error


def import_weights(
    network: str,
    source: str | PathLike[str],
    prototxt: str | PathLike[str],
    *,
    architecture: str | None = None,
    scheme: str | None = None,
    taken: Mapping[str, Conventions] | None = None,
    wanted: Conventions = AS_THEY_ARE,
    background: bool = False,
    unused: Sequence[str] = (),
) -> Imported:
    """Read a weights file and make it blobs for a network.

    Parameters
    ----------
    network : str
        Name in the zoo; its tensor maps are used.
    source : path
        Of any framework; found out by :func:`framework_of`.
    prototxt : path
        The network's deploy file.
    architecture : str, optional
        Name of the prototxt's generator, whose renamings are used; ``network`` if not given.
    scheme : str, optional
        Naming scheme of the tensors, where the names do not tell.
    taken : mapping of str to Conventions, optional
        Of a caffemodel, by the architecture whose layer names it has, ``""`` for the network's own. Those of other
        frameworks' files are their maps'.
    wanted : Conventions
        That the blobs shall have; what is None stays the file's.
    background : bool
        The file has one class too many, the first, which is left out.
    unused : sequence of str
        Shell patterns of tensors (of a caffemodel: layers) that may be left out.

    Raises
    ------
    WeightsFileError, SourceError, BindingError
        As :func:`~caffezoo.weights.convert.convert_weights`.
    """
    from caffezoo.net.graph import Network

    framework = framework_of(source)
    net = Network.load(prototxt)
    if framework == CAFFE:
        if scheme is not None:
            raise SourceError("a caffemodel has no naming scheme", where=str(source))
        blobs, report = _from_caffe(
            read_weights(source), net, architecture or network, background, (*TRAINING_LAYERS, *unused)
        )
        source_conventions = (taken or {}).get(report.scheme, AS_THEY_ARE)
    else:
        maps = {
            name: replace(mapping, unused=(*mapping.unused, *unused))
            for name, mapping in maps_of(network, framework, READERS).items()
        }
        state = READERS[framework](source)
        chosen = choose_scheme(network, maps, state, scheme, where=str(source))
        source_conventions = maps[chosen].conventions
        blobs, report = convert_state_dict(state, maps[chosen], net, where=str(source), background=background)
        report = replace(report, scheme=chosen)
    notes = adapt(blobs, net, source_conventions, wanted)
    return Imported(net, blobs, framework, replace(report, notes=(*report.notes, *notes)))


def _from_caffe(
    file: WeightsFile, net: Network, architecture: str, background: bool, unused: Sequence[str]
) -> tuple[dict[str, list[np.ndarray]], ConversionReport]:
    from caffezoo.net.binding import bind

    owners = {layer.name: layer for layer in file.layers if layer.blobs}
    wanted = {node.name for node in net.nodes if node.blob_shapes}
    origin, names = _naming(owners, wanted, architecture)
    strange = [
        n for n in owners if names.get(n, n) not in wanted and not any(fnmatchcase(n, pattern) for pattern in unused)
    ]
    if strange:
        message = f"{len(strange)} layers have no place: {few(strange)}"
        raise BindingError(message, where=file.path, hint="--allow-unused PATTERN leaves them out")
    layers = [replace(layer, name=names.get(layer.name, layer.name)) for layer in owners.values()]
    notes = [f"layers renamed from {origin}'s"] if origin else []
    if background:
        layers = [_without_background(layer, net, file.path) for layer in layers]
        notes.append("the background class was left out")
    given = layers
    layers = [_reshaped(layer, net) for layer in layers]
    bound = bind(net.nodes, replace(file, layers=tuple(layers)))
    blobs = {name: list(made) for name, made in bound.weights.items()}
    changed = [
        TensorChange(f"{layer.name}[{i}]", layer.name, ("reshaped",), before.data.shape, after.shape)
        for layer in given
        for i, (before, after) in enumerate(zip(layer.blobs, blobs.get(layer.name, ()), strict=False))
        if before.data.shape != after.shape
    ]
    report = ConversionReport(
        tensors_read=sum(len(layer.blobs) for layer in owners.values()),
        tensors_mapped=sum(map(len, blobs.values())),
        unused=tuple(n for n in owners if names.get(n, n) not in wanted),
        changed=tuple(changed),
        elements_read=sum(b.data.size for layer in owners.values() for b in layer.blobs),
        elements_written=sum(b.size for made in blobs.values() for b in made),
        scheme=origin,
        notes=tuple(notes),
    )
    return blobs, report


def _naming(owners: Mapping[str, LayerBlobs], wanted: set[str], architecture: str) -> tuple[str, dict[str, str]]:
    """Return whose names the file has (empty: the network's own), and what they are called here."""
    if wanted <= set(owners):
        return "", {}
    for other, names in renamings(architecture).items():
        if set(names) <= set(owners):
            return other, names
    return "", {}  # binding then names what is missing


def _reshaped(layer: LayerBlobs, net: Network) -> LayerBlobs:
    """Return a layer with blobs in the network's shapes where only axes of one differ, or rows were saved as filters.

    A fully connected layer that became a convolution, or the other way round, keeps the order of its values; Caffe
    would refuse the file, and importing it is to rewrite it.
    """
    node = next((n for n in net.nodes if n.name == layer.name), None)
    if node is None:
        return layer
    blobs = []
    for i, blob in enumerate(layer.blobs):
        found, wanted = blob.data.shape, node.blob_shapes[i] if i < len(node.blob_shapes) else None
        if wanted is not None and _same_rows(found, wanted):
            blob = Blob(blob.data.reshape(wanted), legacy=False)
        blobs.append(blob)
    return replace(layer, blobs=tuple(blobs))


def _same_rows(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a blob has the wanted values in the wanted order: ones aside, one shape splits an axis of the other."""
    a, b = ([d for d in shape if d != 1] for shape in (found, wanted))
    rows = len(a) != len(b) and min(len(a), len(b)) == 2 and a[0] == b[0]
    return a == b or (rows and np.prod(a) == np.prod(b))


def _without_background(layer: LayerBlobs, net: Network, where: str) -> LayerBlobs:
    node = classifier(net)
    if layer.name != node.name:
        return layer
    classes = node.blob_shapes[0][0]
    kept = []
    for blob, shape in zip(layer.blobs, node.blob_shapes, strict=False):
        data = blob.data
        if data.size * classes != np.prod(shape) * (classes + 1):
            message = f"no background class to leave out: layer '{layer.name}' has not {classes + 1} rows"
            raise BindingError(message, where=where)
        kept.append(Blob(data.reshape(classes + 1, *shape[1:])[1:], legacy=False))
    return replace(layer, blobs=tuple(kept))
