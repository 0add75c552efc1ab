"""Drawn configurations: settings that make a run repeat, and arrays from a drawn seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**16)
BATCHES = st.integers(2, 3)


def cases(count: int) -> settings:
    """Return hypothesis settings for ``count`` configurations, the same ones every run."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


def arrays(
    shapes: Mapping[str, Sequence[int]], seed: int, low: float = -1.0, high: float = 1.0, steps: int | None = None
) -> dict[str, np.ndarray]:
    """Return float32 arrays within low .. high; with ``steps``, of so few values that many are equal."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes.items():
        x = rng.uniform(low, high, tuple(shape)) if steps is None else rng.integers(0, steps, tuple(shape)) - steps // 2
        found[name] = x.astype(np.float32)
    return found


@st.composite
def shapes(draw: st.DrawFn, low_rank: int = 2, high_rank: int = 4, high: int = 7) -> tuple[int, ...]:
    """Draw a blob's shape, batch first."""
    rank = draw(st.integers(low_rank, high_rank))
    return (draw(BATCHES), *draw(st.lists(st.integers(1, high), min_size=rank - 1, max_size=rank - 1)))
