"""What the values of a blob are like: range, spread, zeros, and what is no number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CHUNK_VALUES = 1 << 22
"""Values that are looked at together: a blob of gigabytes costs no more memory than these, in float64."""


@dataclass(frozen=True)
class BlobStatistics:
    """A blob in numbers; ``min`` to ``std`` are of its finite values, and None where it has none.

    Attributes
    ----------
    shape : tuple of int
    min, max, mean, std : float or None
    zeros, nans, infinities : int
        How many values are 0, NaN, infinite.
    """

    shape: tuple[int, ...]
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    zeros: int
    nans: int
    infinities: int

    @property
    def values(self) -> int:
        """How many values there are."""
        return math.prod(self.shape)

    @property
    def finite(self) -> bool:
        return not self.nans + self.infinities


def blob_statistics(blob: npt.NDArray[Any]) -> BlobStatistics:
    """Return the statistics of a blob of any real type, in bounded memory."""
    low, high, total, squares = math.inf, -math.inf, 0.0, 0.0
    count = zeros = nans = infinities = 0
    for chunk in chunks(blob):
        finite = np.isfinite(chunk)
        if not finite.all():
            nans += int(np.isnan(chunk).sum())
            infinities += int(np.isinf(chunk).sum())
            chunk = chunk[finite]
        if not chunk.size:
            continue
        # Shifted by the first finite value: a spread that is small beside the mean keeps its digits.
        if not count:
            shift = float(chunk[0])
        moved = chunk - shift
        count += chunk.size
        zeros += int((chunk == 0).sum())
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
        total += float(moved.sum())
        squares += float((moved * moved).sum())
    if not count:
        return BlobStatistics(tuple(blob.shape), None, None, None, None, zeros, nans, infinities)
    mean = total / count
    deviation = math.sqrt(max(0.0, squares / count - mean * mean))
    return BlobStatistics(tuple(blob.shape), low, high, shift + mean, deviation, zeros, nans, infinities)


def chunks(blob: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield all values of a blob as float64, in order, a part at a time."""
    flat = blob.reshape(-1)
    for start in range(0, flat.size, CHUNK_VALUES):
        yield flat[start : start + CHUNK_VALUES].astype(np.float64)
