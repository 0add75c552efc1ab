"""Bits: the packed convolution of benchmarks/xnor.py gives the float convolution's integers."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from tests.oracle import ROOT


@pytest.mark.parametrize(("channels", "side", "kernel"), [(64, 5, 3), (128, 4, 1), (192, 6, 5)])
def test_bits_and_floats_give_the_same_integers(channels, side, kernel):
    if not hasattr(np, "bitwise_count"):
        pytest.skip("this numpy counts no bits")
    spec = importlib.util.spec_from_file_location("xnor", ROOT / "benchmarks" / "xnor.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = np.random.default_rng(channels)
    x = rng.choice([-1, 1], (channels, side, side))
    w = rng.choice([-1, 1], (7, channels, kernel, kernel))
    bits = [module.packed(np.ascontiguousarray(a)) for a in (x.transpose(1, 2, 0), w.transpose(0, 2, 3, 1))]
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (1, 2))
    np.testing.assert_array_equal(module.xnor_convolution(*bits), np.einsum("chwij,ocij->ohw", windows, w))
