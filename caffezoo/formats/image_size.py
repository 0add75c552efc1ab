"""Height and width of an image in px: two numbers everywhere, written as one where they are equal."""

from __future__ import annotations

import re
from typing import NamedTuple

from caffezoo.errors import UsageError

MAX_SIDE = 4096  # px; no published network comes near it
_TEXT = re.compile(r"(\d{1,9})(?:\s*[xX×]\s*(\d{1,9}))?")


class Size(NamedTuple):
    """Height and width in px, in this order as in Caffe's blobs.

    Examples
    --------
    >>> str(Size.of(224)), str(Size.of("112x96"))
    ('224', '112x96')
    >>> Size.of("112x96").height
    112
    """

    height: int
    width: int

    @classmethod
    def of(cls, value: Size | int | str | tuple[int, int], name: str = "size") -> Size:
        """Return a size given as one number (a square), as text ``112x96`` (height x width), or as two numbers.

        Parameters
        ----------
        value : Size, int, str or pair of int
        name : str, optional
            What errors call it.

        Raises
        ------
        UsageError
            It is no size, or not in 1..4096 px.
        """
        sides: tuple[int, ...] = ()
        if isinstance(value, str):
            match = _TEXT.fullmatch(value.strip())
            if match:
                sides = (int(match[1]), int(match[2] or match[1]))
        elif isinstance(value, int):
            sides = (value, value)
        elif len(value) == 2:
            sides = (int(value[0]), int(value[1]))
        if len(sides) != 2:
            raise UsageError(f"{name} '{value}' is no size in px", hint="224, or height x width as 112x96")
        size = cls(*sides)
        if not (min(size) >= 1 and max(size) <= MAX_SIDE):
            raise UsageError(f"{name} {size} is not in 1..{MAX_SIDE} px")
        return size

    @property
    def plain(self) -> int | str:
        """What stands for it in JSON and tables: 224, or ``112x96``."""
        return self.height if self.height == self.width else str(self)

    def holds(self, other: Size) -> bool:
        """Whether a window of another size fits into it."""
        return other.height <= self.height and other.width <= self.width

    def __str__(self) -> str:
        return f"{self.height}" if self.height == self.width else f"{self.height}x{self.width}"
