"""An entry's preprocessing: the protocol of the published evaluations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffezoo.errors import ImageError
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.zoo.preprocessing import centre_crop_input

PLAIN = Preprocessing(base_size=32, crop_size=28)  # type: ignore[arg-type]


def image(height: int, width: int) -> Any:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)


def test_without_resizing_it_is_the_centre() -> None:
    pixels = image(32, 41)
    got = centre_crop_input(pixels, PLAIN)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[0].transpose(1, 2, 0), pixels[2:30, 6:34])


def test_mean_and_std_are_per_channel_in_bgr() -> None:
    pixels = np.full((32, 32, 3), (10, 20, 30), np.uint8)
    preset = replace(PLAIN, mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0))
    assert centre_crop_input(pixels, preset)[0, :, 0, 0].tolist() == [9.0, 9.0, 6.75]
    assert centre_crop_input(pixels, replace(preset, channel_order="RGB"))[0, :, 0, 0].tolist() == [6.75, 9.0, 9.0]


def test_squash_ignores_the_aspect() -> None:
    pixels = image(50, 90)
    got = centre_crop_input(pixels, replace(PLAIN, resize="squash"))
    np.testing.assert_array_equal(got[0].transpose(1, 2, 0), cv2.resize(pixels, (32, 32))[2:30, 2:30])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(0, 7))
def test_short_side_becomes_the_base_and_the_long_one_is_truncated(h: int, w: int, base: int, less: int) -> None:
    preset = replace(PLAIN, base_size=base, crop_size=base - less)
    got = centre_crop_input(image(h, w), preset)
    short = min(h, w)
    whole = cv2.resize(image(h, w), (int(w * base / short), int(h * base / short)))
    assert min(whole.shape[:2]) == base
    y, x = int((whole.shape[0] - base + less) / 2), int((whole.shape[1] - base + less) / 2)
    expected = whole[y : y + base - less, x : x + base - less].transpose(2, 0, 1)
    np.testing.assert_array_equal(got[0], expected.astype(np.float32))


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "cat.jpg",
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((1, 20_000, 3), np.uint8),
    ],
)
def test_no_image(bad: Any) -> None:
    with pytest.raises(ImageError):
        centre_crop_input(bad, replace(PLAIN, base_size=256, crop_size=224))
