"""Solver states (``.solverstate``, ``.solverstate.h5``): what a training needs besides its weights to go on."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.errors import WeightsFileError
from caffezoo.formats import solver_pb2 as pb
from caffezoo.formats.blob_reader import BlobReader
from caffezoo.formats.caffemodel_writer import MAX_CAFFEMODEL_BYTES, plan_blob, replacing
from caffezoo.formats.hdf5 import import_h5py, new_hdf5
from caffezoo.formats.signature import HDF5_NAME, identify
from caffezoo.formats.wire import DELIMITED, VARINT, WireError, walk_fields

_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP = 1, 2, 3, 4
MAX_HISTORY = 100_000
_MAX_PATH_BYTES = 1 << 16


@dataclass(frozen=True, eq=False)
class SolverState:
    """A training at one iteration.

    Attributes
    ----------
    iteration : int
        How many updates there were.
    learned_net : str
        Path of the weights, as the solver had it; empty where the file names none.
    history : tuple of float32 array
        What the solver remembers of every blob, in its order.
    current_step : int
        How often the learning rate has come down.
    """

    iteration: int
    learned_net: str
    history: tuple[np.ndarray, ...]
    current_step: int = 0


def write_solverstate(path: str | PathLike[str], state: SolverState, *, hdf5: bool = False) -> None:
    """Write a state as Caffe does; the file is replaced whole at the end.

    Raises
    ------
    WeightsFileError
        It cannot be written, or would pass 2 GB (then write HDF5).
    """
    name = fspath(path)
    if hdf5:
        _write_hdf5(name, state)
        return
    head = pb.SolverState(iter=state.iteration, learned_net=state.learned_net, current_step=state.current_step)
    start = head.SerializeToString()
    plans = [plan_blob(array, _HISTORY) for array in state.history]
    if len(start) + sum(len(prefix) + size for prefix, size in plans) > MAX_CAFFEMODEL_BYTES:
        message = f"the state would have more than the {MAX_CAFFEMODEL_BYTES} bytes that protobuf reads"
        raise WeightsFileError(message, where=name, hint="set snapshot_format: HDF5")
    with replacing(name) as temporary, temporary.open("wb") as file:
        file.write(start)
        for array, (prefix, _) in zip(state.history, plans, strict=True):
            file.write(prefix)
            file.write(np.ascontiguousarray(array, "<f4").data)


def read_solverstate(path: str | PathLike[str]) -> SolverState:
    """Read a state, binary or HDF5, whichever the first bytes say it is.

    Raises
    ------
    WeightsFileError
        It cannot be read, is something else, is truncated, or holds a blob whose shape and values disagree.
    """
    name = fspath(path)
    if not Path(name).is_file():
        raise WeightsFileError("there is no such solver state", where=name)
    foreign = None
    try:
        foreign = identify(name)
        if foreign == HDF5_NAME:
            return _read_hdf5(name)
        with (
            Path(name).open("rb", buffering=0) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer,
        ):
            return _read_binary(name, buffer, BlobReader(name, buffer, file))
    except WireError as error:
        # A state's first bytes are those of other messages too, so it is asked only of what cannot be read.
        if foreign is not None and not error.truncated:
            raise WeightsFileError(f"this is no solver state but {foreign}", where=name) from None
        kind = "truncated" if error.truncated else "no solver state, or a damaged one,"
        raise WeightsFileError(f"{kind} at byte {error.offset}: {error}", where=name) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise WeightsFileError(f"cannot read the solver state: {reason}", where=name) from None


def _read_binary(path: str, buffer: mmap.mmap, blobs: BlobReader) -> SolverState:
    numbers = {_ITER: 0, _CURRENT_STEP: 0}
    learned_net = ""
    history: list[np.ndarray] = []
    known = False
    for field in walk_fields(buffer, 0, len(buffer), len(buffer)):
        if field.number in numbers and field.wire == VARINT:
            numbers[field.number], known = field.value & 0x7FFFFFFF, True
        elif field.number == _LEARNED_NET and field.wire == DELIMITED and field.end - field.start < _MAX_PATH_BYTES:
            learned_net = buffer[field.start : field.end].decode("utf-8", "surrogateescape")
        elif field.number == _HISTORY and len(history) < MAX_HISTORY:
            history.append(blobs.read(field, f"history blob {len(history)}").data)
        else:
            raise WireError(f"field {field.number} is none of a solver state", field.tag_at)
    if not known:
        raise WeightsFileError("this is no solver state: it names no iteration", where=path)
    return SolverState(numbers[_ITER], learned_net, tuple(history), numbers[_CURRENT_STEP])


def _write_hdf5(path: str, state: SolverState) -> None:
    h5py: Any = import_h5py(path)
    with new_hdf5(path) as file:
        file.create_dataset("iter", data=np.array([state.iteration], np.int32))
        file.create_dataset("current_step", data=np.array([state.current_step], np.int32))
        # Caffe reads the text as a C string, so the file must hold its final zero byte.
        text = state.learned_net.encode("utf-8", "surrogateescape")
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(text) + 1)
        kind.set_strpad(h5py.h5t.STR_NULLTERM)
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5d.create(file.id, b"learned_net", kind, space).write(
            space, space, np.array(text, f"S{len(text) + 1}"), kind
        )
        group = file.create_group("history")
        for i, array in enumerate(state.history):
            group.create_dataset(str(i), data=np.asarray(array, np.float32))


def _read_hdf5(path: str) -> SolverState:
    h5py: Any = import_h5py(path)
    try:
        with h5py.File(path, "r") as file:
            group = file["history"]
            names: Sequence[str] = sorted(group, key=int)
            if len(names) > MAX_HISTORY or list(map(str, range(len(names)))) != list(names):
                raise WeightsFileError("its history is not numbered from 0", where=path)
            history = tuple(np.asarray(group[name], np.float32) for name in names)
            learned = file["learned_net"][()] if "learned_net" in file else b""
            text = learned if isinstance(learned, str) else bytes(learned).rstrip(b"\0").decode("utf-8", "replace")
            step = int(np.ravel(file["current_step"])[0]) if "current_step" in file else 0
            return SolverState(int(np.ravel(file["iter"])[0]), text, history, step)
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise WeightsFileError(f"this HDF5 file is no solver state: {error}", where=path) from None
