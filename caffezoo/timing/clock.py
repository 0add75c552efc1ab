"""Repeated measurements: warming up until times are stable, medians, and how far they spread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

STABLE_RUNS = 3
STABLE_WITHIN = 0.05
MIN_SAMPLES = 3
MAX_WARM_UP_RUNS = 50


@dataclass(frozen=True)
class Spread:
    """Median of some times and their interquartile range, in ms, over ``count`` samples."""

    median_ms: float
    spread_ms: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Summarise times in seconds.

        Examples
        --------
        >>> Spread.of([0.010, 0.012, 0.011])
        Spread(median_ms=11.0, spread_ms=1.0, count=3)
        """
        low, middle, high = np.percentile(np.asarray(seconds, np.float64) * 1e3, [25, 50, 75])
        return cls(round(float(middle), 6), round(float(high - low), 6), len(seconds))


def is_stable(seconds: Sequence[float]) -> bool:
    """Tell whether the last three times lie within 5 % of their median."""
    last = sorted(seconds[-STABLE_RUNS:])
    return len(last) == STABLE_RUNS and last[-1] - last[0] <= STABLE_WITHIN * last[1]


def warm_up(run: Callable[[], float], limit_s: float) -> int:
    """Run until times are stable (:func:`is_stable`), at least three times unless the limit is over.

    Parameters
    ----------
    run : callable
        Returns its own time in seconds.
    limit_s : float
        Seconds after which it is enough, stable or not.

    Returns
    -------
    int
        Runs that were made.
    """
    start, seen = time.perf_counter(), [run()]
    while time.perf_counter() - start < limit_s and len(seen) < MAX_WARM_UP_RUNS and not is_stable(seen):
        seen.append(run())
    return len(seen)


def share(total: int, parts: int) -> list[int]:
    """Split a number of iterations into near-equal parts, none of them empty while there are enough."""
    return [total // parts + (i < total % parts) for i in range(parts)]
