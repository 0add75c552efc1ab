"""Error rates with their uncertainty, counted image by image.

The rank of the true class follows Caffe's Accuracy layer: every other class whose score is at least as high counts as
better, so ties count against the network and one that answers the same for all classes is wrong everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import EngineError

Z_95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


def wilson_interval(count: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval for a proportion.

    Parameters
    ----------
    count, total : int
        ``count`` of ``total`` (at least 1).
    z : float, optional
        Normal quantile; the default gives 95 %.

    Returns
    -------
    (low, high) : tuple of float
        In 0..1. E. B. Wilson, J. Amer. Statist. Assoc. 22 (1927) 209:
        ``(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)``.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(2, 20)]
    [0.0279, 0.301]
    """
    p = count / total
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    centre = p + z * z / (2 * total)
    scale = 1 + z * z / total
    # At the ends the exact value is 0 or 1; rounding must not push it past the observed proportion.
    low = 0.0 if count == 0 else (centre - spread) / scale
    high = 1.0 if count == total else (centre + spread) / scale
    return low, high


@dataclass(frozen=True)
class ErrorRate:
    """``errors`` wrong of ``images``."""

    errors: int
    images: int

    @property
    def percent(self) -> float:
        return 100.0 * self.errors / self.images

    @property
    def interval_percent(self) -> tuple[float, float]:
        """95 % Wilson interval in percent."""
        low, high = wilson_interval(self.errors, self.images)
        return 100.0 * low, 100.0 * high


def true_rank(scores: NDArray[Any], label: int, *, where: str | None = None) -> int:
    """Return how many other classes score at least as high as the true one.

    Parameters
    ----------
    scores : float array (classes,)
    label : int
    where : str, optional
        The image, for the error message.

    Raises
    ------
    EngineError
        A score is not finite: no error rate may be made of it.
    """
    if not np.isfinite(scores).all():
        raise EngineError(
            f"the network's scores are not finite ({np.count_nonzero(~np.isfinite(scores))} of {scores.size})",
            where=where,
            hint="check mean, std and the weights with another engine",
        )
    return int(np.count_nonzero(scores >= scores[label])) - 1


def guess_of(scores: NDArray[Any], label: int, rank: int) -> int:
    """Return the class that an image was taken for: the true one only if no other scores as high.

    Parameters
    ----------
    scores : float array (classes,)
    label : int
    rank : int
        Of the true class, by :func:`true_rank`.
    """
    if rank == 0:
        return label
    others = scores.astype(np.float64)  # a copy
    others[label] = -np.inf
    return int(np.argmax(others))
