"""The Python layers of users' own modules: run only from folders that the caller names.

A ``Python`` layer names a module and a class of Caffe's interface: ``setup``, ``reshape`` and ``forward`` over blobs
with ``data``, ``diff`` and ``reshape``. Importing it runs its code, so nothing is imported until :func:`run_code_of`
said from where.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from caffezoo.errors import NetworkError, UsageError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Shape

_FOLDERS: list[str] = []
_HOST: ContextVar[PythonHost | None] = ContextVar("caffezoo.python_host", default=None)
MAX_VALUES = 2**31 - 1


def run_code_of(folders: Iterable[str | PathLike[str]]) -> None:
    """Let Python layers run the code of modules in these folders, for the rest of the process.

    Raises
    ------
    UsageError
        A folder that is none.
    """
    for folder in folders:
        path = Path(folder).resolve()
        if not path.is_dir():
            raise UsageError("no such folder of Python layers", where=str(folder))
        if str(path) not in _FOLDERS:
            _FOLDERS.append(str(path))


def may_run() -> bool:
    """Whether the caller has named a folder."""
    return bool(_FOLDERS)


def code_folders() -> tuple[str, ...]:
    """Return the folders that the caller has named."""
    return tuple(_FOLDERS)


class PythonHost(Protocol):
    """Who runs Python layers in place of this module: a program that is itself the user's code."""

    def top_shapes(self, proto: pb.LayerParameter, phase: int, bottoms: Sequence[Shape]) -> list[Shape]: ...

    def blob_shapes(self, proto: pb.LayerParameter) -> list[Shape]: ...


@contextlib.contextmanager
def running_host(host: PythonHost) -> Iterator[None]:
    """Let a host say the shapes of Python layers while networks are built."""
    token = _HOST.set(host)
    try:
        yield
    finally:
        _HOST.reset(token)


def python_host() -> PythonHost | None:
    """Return the host of Python layers, where there is one."""
    return _HOST.get()


class PyBlob:
    """A blob as a Python layer sees it."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data
        self.diff = np.zeros_like(data)

    def reshape(self, *shape: int) -> None:
        """Give the blob another shape; its values are 0 where their number changes."""
        wanted = tuple(int(d) for d in shape)
        count = 1
        for size in wanted:
            if size < 0:
                raise ValueError(f"shape {wanted} has a negative axis")
            count *= size
        if count > MAX_VALUES:
            raise ValueError(f"shape {wanted} holds more than {MAX_VALUES} values")
        if count == self.data.size:
            self.data, self.diff = self.data.reshape(wanted), self.diff.reshape(wanted)
        elif wanted != self.data.shape:
            self.data, self.diff = np.zeros(wanted, np.float32), np.zeros(wanted, np.float32)

    @property
    def shape(self) -> Shape:
        return tuple(self.data.shape)

    @property
    def count(self) -> int:
        return int(self.data.size)

    def _legacy(self, axis: int) -> int:
        return int(self.data.shape[axis]) if axis < self.data.ndim else 1

    num = property(lambda self: self._legacy(0))
    channels = property(lambda self: self._legacy(1))
    height = property(lambda self: self._legacy(2))
    width = property(lambda self: self._legacy(3))


class PyLayer:
    """What ``caffe.Layer`` is to a Python layer."""

    param_str = ""
    phase = 1

    def __init__(self, *_: Any) -> None:
        self.blobs: list[PyBlob] = []


def make_python_layer(module: str, name: str, param_str: str, phase: int, where: str) -> Any:
    """Return an instance of a user's layer class, from the named folders.

    Raises
    ------
    NetworkError
        The module or the class is not there, or its code raises.
    """
    hint = f"looked for in {', '.join(_FOLDERS)}"
    with _importing(), one_line(where):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ModuleNotFoundError as error:
            raise NetworkError(f"module '{error.name}' cannot be imported", where=where, hint=hint) from None
        if found is None:
            raise NetworkError(f"module '{module}' has no class '{name}'", where=where, hint=hint)
        layer = found()
    layer.param_str = layer.param_str_ = param_str
    layer.phase = phase
    return layer


@contextlib.contextmanager
def one_line(where: str) -> Iterator[None]:
    """Turn what a user's code raises into one error that names the layer.

    Raises
    ------
    NetworkError
    """
    try:
        yield
    except NetworkError:
        raise
    except (Exception, SystemExit) as error:
        place = ""
        trace = error.__traceback__
        while trace is not None:
            if any(trace.tb_frame.f_code.co_filename.startswith(folder) for folder in _FOLDERS):
                place = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
            trace = trace.tb_next
        raise NetworkError(f"its Python code raises {type(error).__name__}: {error}{place}", where=where) from None


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """Put the folders on the path, and a ``caffe`` with a Layer where there is none."""
    path = list(sys.path)
    sys.path[:0] = _FOLDERS
    try:
        if "caffe" not in sys.modules:
            try:
                importlib.import_module("caffe")
            except ImportError:
                stand_in = types.ModuleType("caffe")
                stand_in.Layer = PyLayer  # type: ignore[attr-defined]
                stand_in.TRAIN, stand_in.TEST = 0, 1  # type: ignore[attr-defined]
                sys.modules["caffe"] = stand_in
        yield
    finally:
        sys.path[:] = path
