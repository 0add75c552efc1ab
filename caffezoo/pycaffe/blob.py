"""A blob as scripts know it: ``data`` and ``diff``, numpy arrays that one reads and writes in place."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

MAX_VALUES = 2**31 - 1
"""Caffe counts a blob's values in an int."""


class Blob:
    """Values and their gradients, float32.

    Arrays that were handed out stay valid when the blob is given another shape or its net is gone: they then keep the
    memory that they had.

    Attributes
    ----------
    fetch : callable or None
        Called before values are handed out, where they have still to be computed.
    """

    def __init__(self, shape: Sequence[int] = ()) -> None:
        self.array = np.zeros(tuple(shape), np.float32)
        self._gradient: np.ndarray | None = None
        self.fetch: Callable[[], None] | None = None
        self.handed_out = False

    @property
    def data(self) -> np.ndarray:
        """The values."""
        if self.fetch is not None:
            self.fetch()
        self.handed_out = True
        return self.array[...]

    @property
    def diff(self) -> np.ndarray:
        """The gradients."""
        return self.gradient[...]

    @property
    def gradient(self) -> np.ndarray:
        """The gradients' own array; made when it is first asked for."""
        if self._gradient is None or self._gradient.shape != self.array.shape:
            self._gradient = np.zeros_like(self.array)
        return self._gradient

    def is_held(self) -> bool:
        """Whether somebody holds an array of these values, and may change them unseen."""
        return sys.getrefcount(self.array) > self._references

    def settle(self) -> None:
        """Take the present holders of the array as its own: torch's parameter is one."""
        self._references = sys.getrefcount(self.array)

    _references = 2

    def reshape(self, *shape: Any) -> None:
        """Give the blob another shape.

        Raises
        ------
        ValueError
            A negative axis, or more values than Caffe counts.
        """
        if len(shape) == 1 and not isinstance(shape[0], int | np.integer):
            shape = tuple(shape[0])
        wanted = tuple(int(d) for d in shape)
        if any(d < 0 for d in wanted):
            raise ValueError(f"shape {wanted} has a negative axis")
        if math.prod(wanted) > MAX_VALUES:
            raise ValueError(f"shape {wanted} holds more than {MAX_VALUES} values")
        if wanted == self.array.shape:
            return
        if math.prod(wanted) == self.array.size:
            self.array = self.array.reshape(wanted)
            self._gradient = None if self._gradient is None else self._gradient.reshape(wanted)
        else:
            self.array, self._gradient = np.zeros(wanted, np.float32), None

    def write(self, values: np.ndarray) -> None:
        """Take over values, and their shape."""
        if self.array.shape != values.shape:
            self.reshape(*values.shape)
        np.copyto(self.array, values)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def count(self) -> int:
        """How many values there are."""
        return int(self.array.size)

    @property
    def num_axes(self) -> int:
        return int(self.array.ndim)

    def _legacy(self, axis: int) -> int:
        if self.array.ndim > 4:
            raise ValueError(f"a blob of {self.array.ndim} axes has no num, channels, height and width")
        return int(self.array.shape[axis]) if axis < self.array.ndim else 1

    num = property(lambda self: self._legacy(0), doc="Axis 0, 1 where there is none.")
    channels = property(lambda self: self._legacy(1), doc="Axis 1, 1 where there is none.")
    height = property(lambda self: self._legacy(2), doc="Axis 2, 1 where there is none.")
    width = property(lambda self: self._legacy(3), doc="Axis 3, 1 where there is none.")

    def __repr__(self) -> str:
        return f"<Blob {' x '.join(map(str, self.shape)) or 'of one value'}>"


class BlobVec(list["Blob"]):
    """Blobs of a layer."""

    def add_blob(self, *shape: int) -> None:
        """Append a blob of a shape: what a Python layer learns."""
        self.append(Blob(shape))
