"""Repeated measurements: warming up until times are stable, medians, and how far they spread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

STABLE_RUNS = 3
STABLE_WITHIN = 0.05
MIN_SAMPLES = 3
MAX_WARM_UP_RUNS = 50
MIN_HALF = 5
"""Samples in each half of a run from which on the halves are compared."""


@dataclass(frozen=True)
class Spread:
    """Median of some times and their interquartile range, in ms, over ``count`` samples.

    Attributes
    ----------
    median_ms, spread_ms : float
    count : int
    p90_ms, p99_ms : float or None
        The 90th and 99th percentile; None where single times are not known.
    drift : float or None
        Median of the second half over that of the first, less 1: beyond some percent the machine was not steady.
    """

    median_ms: float
    spread_ms: float
    count: int
    p90_ms: float | None = field(default=None, compare=False)
    p99_ms: float | None = field(default=None, compare=False)
    drift: float | None = field(default=None, compare=False)

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Summarise times in seconds.

        Examples
        --------
        >>> Spread.of([0.010, 0.012, 0.011])
        Spread(median_ms=11.0, spread_ms=1.0, count=3, p90_ms=11.8, p99_ms=11.98, drift=None)
        """
        times = np.asarray(seconds, np.float64) * 1e3
        low, middle, high, p90, p99 = (round(float(v), 6) for v in np.percentile(times, [25, 50, 75, 90, 99]))
        half = len(times) // 2
        drift = None
        if half >= MIN_HALF and (first := float(np.median(times[:half]))) > 0:
            drift = round(float(np.median(times[half:])) / first - 1, 6)
        return cls(middle, round(high - low, 6), len(seconds), p90, p99, drift)


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
