"""Rounding at half-way points, subnormals and limits, and against other implementations of the formats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.engines.rounding import round_bfloat16, round_float16, rounded_weights

INF = np.inf


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (65504.0, 65504.0),
        (65519.99, 65504.0),
        (65520.0, INF),
        (-65520.0, -INF),
        (2.0**-24, 2.0**-24),
        (2.0**-25, 0.0),
        (2.0**-25 * 1.0001, 2.0**-24),
        (3 * 2.0**-25, 2.0**-23),
        (1 + 2.0**-11, 1.0),
        (1 + 3 * 2.0**-11, 1 + 2.0**-9),
        (2.0**-14, 2.0**-14),
        (1e-5, 168 * 2.0**-24),
        (INF, INF),
    ],
)
def test_float16(value: float, wanted: float) -> None:
    assert round_float16(np.float32(value)) == np.float32(wanted)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1 + 2.0**-8, 1.0),
        (1 + 3 * 2.0**-8, 1 + 2.0**-6),
        (1 + 2.0**-8 + 2.0**-20, 1 + 2.0**-7),
        (-(1 + 2.0**-8), -1.0),
        (3.4028234663852886e38, INF),
        (3.3895313892515355e38, 3.3895313892515355e38),
        (2.0**-133, 2.0**-133),
        (2.0**-134, 0.0),
        (INF, INF),
        (-INF, -INF),
    ],
)
def test_bfloat16(value: float, wanted: float) -> None:
    assert round_bfloat16(np.float32(value)) == np.float32(wanted)


def test_nan_stays() -> None:
    nans = np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(round_bfloat16(nans)).all()
    assert np.isnan(round_float16(nans)).all()


@given(st.floats(width=32, allow_nan=False))
def test_bfloat16_is_the_nearest(value: float) -> None:
    x = np.float32(value)
    found = np.float64(round_bfloat16(x))
    if np.isfinite(found):
        bits = np.float32(found).view(np.uint32)
        for step in (-0x10000, 0x10000):
            other = np.uint32((int(bits) + step) % 2**32).view(np.float32)
            if np.isfinite(other) and np.sign(other) == np.sign(np.float32(found)):
                assert abs(found - np.float64(x)) <= abs(np.float64(other) - np.float64(x))


def test_against_torch() -> None:
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    x = bits.view(np.float32)
    x = x[np.isfinite(x)]
    np.testing.assert_array_equal(round_bfloat16(x), torch.from_numpy(x).bfloat16().float().numpy())
    np.testing.assert_array_equal(round_float16(x), torch.from_numpy(x).half().float().numpy())


def test_weights() -> None:
    rounded = rounded_weights({"a": (np.float32([1 + 2.0**-11]), np.float32([7.0]))}, "float16")
    assert [b.tolist() for b in rounded["a"]] == [[1.0], [7.0]]
