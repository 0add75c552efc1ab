"""What stands for an input of a network on a command line: an array's file, a mean image, numbers, or images."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import DataError, UsageError
from caffezoo.formats.binaryproto import read_binaryproto
from caffezoo.formats.signature import identify

Shape = tuple[int, ...]
_ARRAY_SUFFIXES = (".npy", ".npz", ".binaryproto")


def split_inputs(texts: Iterable[str], inputs: Collection[str], needed: Collection[str]) -> dict[str, list[str]]:
    """Return what is given for each input, from texts such as ``data=photo.jpg``.

    Parameters
    ----------
    texts : iterable of str
        The name may be left out where one input is needed.
    inputs, needed : collection of str
        The network's, and those that the wanted blobs depend on.

    Raises
    ------
    UsageError
        No such input, or it is open which one is meant.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        named = max((name for name in inputs if text.startswith(f"{name}=")), key=len, default=None)
        if named is None and len(needed) != 1:
            names = ", ".join(inputs)
            raise UsageError(f"--input '{text}' is for none of the inputs {names}", hint="--input BLOB=FILE")
        name = next(iter(needed)) if named is None else named
        found.setdefault(name, []).append(text if named is None else text[len(named) + 1 :])
    return found


def is_array(value: str) -> bool:
    """Tell what is an array's file, or numbers, from an image's."""
    path, _, _ = value.rpartition(":")
    return value.lower().endswith(_ARRAY_SUFFIXES) or path.lower().endswith(".npz") or _numbers(value) is not None


def read_array(value: str, shape: Shape) -> NDArray[np.float32]:
    """Return an input's array.

    Parameters
    ----------
    value : str
        A ``.npy`` file, a ``.npz`` of one array or ``FILE.npz:NAME``, a ``.binaryproto``, or numbers: ``600,800,1``.
    shape : tuple of int
        As the network declares it: an array that lacks axis 0 gets it, numbers take this shape.

    Raises
    ------
    DataError
        The file holds no array of numbers.
    UsageError
        No such file, or as many numbers as no shape has.
    """
    numbers = _numbers(value)
    if numbers is not None and not Path(value).is_file():
        if numbers.size != np.prod(shape):
            raise UsageError(f"'{value}' is {numbers.size} numbers, and the input has shape {list(shape)}")
        return numbers.reshape(shape)
    array = _of_file(value)
    if array.dtype.kind not in "fiub":
        raise DataError(f"holds {array.dtype}, no numbers", where=value)
    if array.ndim == len(shape) - 1:
        array = array[np.newaxis]
    return np.ascontiguousarray(array, np.float32)


def _of_file(value: str) -> NDArray[np.generic]:
    path, _, key = value.rpartition(":")
    if not path.lower().endswith(".npz"):
        path, key = value, ""
    if not Path(path).is_file():
        raise UsageError("no such file", where=path)
    if path.lower().endswith(".binaryproto"):
        return read_binaryproto(path)
    kind = identify(path)
    if kind not in ("a NumPy array file", "a NumPy npz archive", "a zip archive"):
        raise DataError(f"this is no array but {kind or 'something unknown'}", where=path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if key not in names and (key or len(names) != 1):
                raise UsageError(f"holds the arrays {', '.join(names) or 'none'}", where=path, hint="FILE.npz:NAME")
            return np.asarray(loaded[key or names[0]])
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise DataError(f"cannot be read as an array: {error}", where=path) from None


def _numbers(value: str) -> NDArray[np.float32] | None:
    try:
        return np.array([float(part) for part in value.split(",")], np.float32)
    except ValueError:
        return None
