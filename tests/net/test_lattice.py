"""The permutohedral lattice against a second writing of it, point by point, and against the Gaussian it stands for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffezoo.net.lattice import place


def by_point(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values [channels, points] filtered, with a dict of vertices."""
    points, d = features.shape
    lattice: dict[tuple[int, ...], np.ndarray] = {}
    held = []
    for n in range(-(-points // 4) * 4):
        f = features[n] if n < points else np.zeros(d)
        f = [f[i] * math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i in range(d)]
        y = [sum(f[i:]) - (i * f[i - 1] if i else 0) for i in range(d + 1)]
        base = [round(v / (d + 1)) * (d + 1) for v in y]
        excess = sum(base) // (d + 1)
        order = sorted(range(d + 1), key=lambda i: base[i] - y[i])  # the largest remainder first; ties by place
        rank = {coordinate: r + excess for r, coordinate in enumerate(order)}
        for i in range(d + 1):
            turn = (rank[i] < 0) - (rank[i] > d)
            rank[i] += turn * (d + 1)
            base[i] += turn * (d + 1)
        by_rank = sorted(range(d + 1), key=lambda i: rank[i])
        rest = [(y[i] - base[i]) / (d + 1) for i in by_rank]
        share = [1 - (rest[0] - rest[d])] + [rest[d - k] - rest[d - k + 1] for k in range(1, d + 1)]
        # corner k lies k steps along the k coordinates that are largest
        for k in range(d + 1):
            key = tuple(base[i] + (k if rank[i] <= d - k else k - d - 1) for i in range(d))
            lattice.setdefault(key, np.zeros(len(values)))
            if n < points:
                lattice[key] += share[k] * values[:, n]
                held.append((n, key, share[k]))
    none = np.zeros(len(values))
    for axis in range(d + 1):
        blurred = {}
        for key, value in lattice.items():
            sides = [tuple(key[i] + s * (d if i == axis else -1) for i in range(d)) for s in (1, -1)]
            blurred[key] = value + sum(lattice.get(side, none) for side in sides) / 2
        lattice = blurred
    found = np.zeros(values.shape)
    for n, key, w in held:
        found[:, n] += w * lattice[key] / (1 + 2.0**-d)
    return found


@pytest.mark.parametrize("d", [2, 5])
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), points=st.integers(1, 30))
def test_filtering_is_that_of_single_points(d: int, seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-3, 3, (points, d)).astype(np.float32)
    values = rng.uniform(-1, 1, (2, points))
    wanted = by_point(features.astype(np.float64), values)
    np.testing.assert_allclose(place(features).filtered(values), wanted, atol=2e-5)


def test_keys_that_do_not_fit_into_one_number() -> None:
    features = np.random.default_rng(0).uniform(-1, 1, (6, 5)).astype(np.float32)
    features[0] = 30000
    features[1] = -30000
    values = np.ones((1, 6))
    np.testing.assert_allclose(
        place(features).filtered(values), by_point(features.astype(np.float64), values), atol=0.02
    )


def test_it_comes_near_the_gaussian() -> None:
    rows, columns = np.indices((20, 20))
    features = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float32) / 3
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.uniform(0, 1, (1, 400)), np.ones((1, 400))])
    found = place(features).filtered(values)
    weights = np.exp(-((features[:, None] - features[None]) ** 2).sum(2) / 2)
    wanted = values @ weights
    np.testing.assert_allclose(found[0] / found[1], wanted[0] / wanted[1], atol=0.02)
