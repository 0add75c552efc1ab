"""Values that stay in their file until somebody asks for them.

A network of a gigabyte then costs the memory of the layers that are in use, not of all of them; each runtime keeps
weights of its own anyway. The file is kept open, so that one that is replaced or removed meanwhile is still read as
it was; one that is written into is an error.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from caffezoo.errors import WeightsFileError

CAN_READ_LATER = hasattr(os, "preadv")
"""Reading at an offset, safe from several threads: not every system has it."""

MIN_FILE_BYTES = 32 << 20
MIN_ARRAY_BYTES = 1 << 16
"""Smaller files and arrays are read at once."""


class KeptFile:
    """A file that is kept open, and known by its size and time of change.

    Parameters
    ----------
    path : str
        For messages.
    descriptor : int
        Of the open file; it is duplicated, and the caller may close its own.

    Raises
    ------
    OSError
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)
        self._state = self._now()

    def _now(self) -> tuple[int, int]:
        state = os.fstat(self._descriptor)
        return state.st_size, state.st_mtime_ns

    def read_into(self, view: memoryview, start: int) -> None:
        """Fill ``view`` with the bytes from ``start`` on.

        Raises
        ------
        WeightsFileError
            The file was changed since it was opened, or cannot be read.
        """
        done = 0
        try:
            while done < len(view):
                got = os.preadv(self._descriptor, [view[done:]], start + done)
                if not got:
                    break
                done += got
            changed = self._now() != self._state
        except OSError as error:
            raise WeightsFileError(f"cannot be read: {error.strerror}", where=self.path) from None
        if changed or done < len(view):
            raise WeightsFileError("it was changed while a network used it", where=self.path, hint="load it again")


class StoredArray:
    """A float32 array that is read when it is asked for, and shared among those who use it at the same time.

    Parameters
    ----------
    file : KeptFile
    start : int
        Offset of its first value in the file, bytes; values are little-endian.
    shape : tuple of int
    """

    dtype = np.dtype(np.float32)

    def __init__(self, file: KeptFile, start: int, shape: tuple[int, ...]) -> None:
        self._file, self._start, self.shape = file, start, shape
        self._read: weakref.ref[npt.NDArray[np.float32]] | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def reshape(self, *shape: Any) -> StoredArray:
        """Return the same values in another shape."""
        wanted = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
        if int(np.prod(wanted, dtype=np.int64)) != self.size:
            raise ValueError(f"cannot reshape an array of size {self.size} into shape {wanted}")
        return StoredArray(self._file, self._start, wanted)

    def read(self) -> npt.NDArray[np.float32]:
        """Return the array, read-only.

        Raises
        ------
        WeightsFileError
        """
        found = self._read() if self._read is not None else None
        if found is None:
            found = np.empty(self.shape, np.float32)
            self._file.read_into(found.reshape(-1).view(np.uint8).data, self._start)
            if not np.little_endian:
                found.byteswap(inplace=True)
            found.flags.writeable = False
            self._read = weakref.ref(found)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.read(), dtype=dtype, copy=copy) if copy else np.asarray(self.read(), dtype=dtype)
