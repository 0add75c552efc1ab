"""Whatever file holds Caffe's arrays: weights, a mean, a solver's state, arrays of NumPy, read into one form."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.errors import WeightsFileError
from caffezoo.formats.binaryproto import read_binaryproto
from caffezoo.formats.blobs import Blob, LayerBlobs
from caffezoo.formats.caffemodel import read_weights
from caffezoo.formats.hdf5 import MAX_EXPANSION, import_h5py
from caffezoo.formats.origin import batch_norms, written_by
from caffezoo.formats.signature import BINARYPROTO_NAME, HDF5_NAME, SOLVERSTATE_NAME, identify, remedy
from caffezoo.formats.solverstate import read_solverstate

MAX_ARRAYS = 20_000


@dataclass(frozen=True)
class AnyFile:
    """A file of arrays.

    Attributes
    ----------
    path : str
    kind : str
        In words: ``caffemodel``, ``HDF5 weights``, ``solver state`` ...
    bytes : int
    layers : tuple of LayerBlobs
        Its arrays; those of no layer have the name that the file gives them, or none.
    facts : tuple of (str, str)
        What else it says, as label and text.
    warnings : tuple of str
    """

    path: str
    kind: str
    bytes: int
    layers: tuple[LayerBlobs, ...]
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


def read_any(path: str | PathLike[str]) -> AnyFile:
    """Read a caffemodel, HDF5 weights or data, a binaryproto, a solver state, a npy or npz file.

    Raises
    ------
    WeightsFileError
        It is none of these, damaged, or cannot be read.
    """
    name = fspath(path)
    if not Path(name).is_file():
        raise WeightsFileError("no such file", where=name)
    try:
        kind = identify(name)
        size = Path(name).stat().st_size
    except OSError as error:
        raise WeightsFileError(f"cannot be read: {error.strerror or error}", where=name) from None
    suffix = name.lower()
    if suffix.endswith(".prototxt"):
        raise WeightsFileError("this is a network's text, no arrays", where=name, hint="`caffezoo show` reads it")
    if kind == HDF5_NAME:
        return _hdf5(name, size)
    if kind == "a NumPy array file":
        try:
            array = np.load(name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, MemoryError) as error:
            raise WeightsFileError(f"cannot be read as an array: {error}", where=name) from None
        return AnyFile(name, "NumPy array", size, _arrays(name, {"": array}))
    if kind == "a NumPy npz archive" or (kind == "a zip archive" and suffix.endswith(".npz")):
        return AnyFile(name, "NumPy archive", size, _arrays(name, _archive(name)))
    if kind == SOLVERSTATE_NAME or suffix.endswith(".solverstate"):
        return _solver_state(name, size)
    if kind == BINARYPROTO_NAME or (kind is None and suffix.endswith(".binaryproto")):
        return AnyFile(name, "mean image (binaryproto)", size, _arrays(name, {"": read_binaryproto(name)}))
    file = read_weights(name)
    facts = (*written_by(name, file.layers), ("batch norms", batch_norms(file.layers)))
    return AnyFile(name, "caffemodel", size, file.layers, facts, file.warnings)


def _solver_state(name: str, size: int) -> AnyFile:
    state = read_solverstate(name)
    facts = [("iteration", str(state.iteration)), ("step", str(state.current_step))]
    if state.learned_net:
        facts.append(("weights", state.learned_net))
    history = {f"history {i}": blob for i, blob in enumerate(state.history)}
    return AnyFile(name, "solver state", size, _arrays(name, history), tuple(facts))


def _hdf5(name: str, size: int) -> AnyFile:
    h5py: Any = import_h5py(name)
    try:
        with h5py.File(name, "r") as file:
            keys = list(file)
            if "history" in keys and "iter" in keys:
                return _solver_state(name, size)
            if isinstance(file.get("data", getlink=False), h5py.Group):
                found = read_weights(name)
                facts = (
                    ("producer", "Caffe's form (snapshot_format: HDF5)"),
                    ("batch norms", batch_norms(found.layers)),
                )
                return AnyFile(name, "HDF5 weights", size, found.layers, facts, found.warnings)
            if "layer_names" in file.attrs or "model_weights" in file:
                raise WeightsFileError("these are a Keras network's weights", where=name, hint=remedy("a Keras file"))
            arrays = {}
            for key in keys[:MAX_ARRAYS]:
                child = file.get(key)
                if isinstance(child, h5py.Dataset) and child.shape is not None and child.dtype.kind in "fiub":
                    if child.nbytes > MAX_EXPANSION * max(child.id.get_storage_size(), 1):
                        raise WeightsFileError(f"data set '{key}': {child.nbytes} bytes, hardly any here", where=name)
                    arrays[key] = np.asarray(child)
            if not arrays:
                raise WeightsFileError("this HDF5 file holds neither weights nor arrays of numbers", where=name)
            return AnyFile(name, "HDF5 data sets", size, _arrays(name, arrays))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, UnicodeError) as error:
        raise WeightsFileError(f"the HDF5 file cannot be read: {error}", where=name) from None


def _archive(name: str) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(name) as archive:
            for member in archive.infolist():
                if member.file_size > MAX_EXPANSION * max(member.compress_size, 1):
                    raise WeightsFileError(f"'{member.filename}' would unpack to {member.file_size} bytes", where=name)
        with np.load(name, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files[:MAX_ARRAYS]}
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, NotImplementedError) as error:
        raise WeightsFileError(f"cannot be read as an array: {error}", where=name) from None


def _arrays(name: str, arrays: Mapping[str, np.ndarray]) -> tuple[LayerBlobs, ...]:
    for key, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise WeightsFileError(f"array '{key}' holds {array.dtype}, no numbers", where=name)
    return tuple(LayerBlobs(key, "", (Blob(array, False),)) for key, array in arrays.items())
