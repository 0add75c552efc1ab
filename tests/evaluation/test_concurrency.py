"""Batches that suit the images: never larger than asked for, none needed more, streams evenly busy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import UsageError
from caffezoo.evaluation.concurrency import batches_for
from caffezoo.evaluation.crops import cut_views
from caffezoo.evaluation.protocol import Protocol
from caffezoo.formats.image_size import Size

ONE = Protocol(Size.of(256), Size.of(224))


@given(st.integers(1, 1000), st.integers(1, 64), st.integers(1, 8))
def test_batches_are_spread_evenly(images: int, most: int, streams: int) -> None:
    found = batches_for(ONE, images, "openvino", batch_size=most, streams=streams, threads=None)
    batch = found["batch_size"]
    assert found["streams"] == streams
    assert 1 <= batch <= most
    wanted = min(most, images)
    rounds = -(-images // (wanted * streams))
    assert batch * streams * rounds >= images  # no round more than with the largest batches
    assert (batch - 1) * streams * rounds < images  # and no smaller batch would do


@pytest.mark.parametrize(
    ("images", "batch_size", "streams"),
    [(1, 1, 1), (7, 7, 1), (16, 8, 2), (20, 5, 2), (50000, 8, 2)],
    ids=["one", "a few", "two batches", "the sample", "all"],
)
def test_a_few_images_are_one_batch_and_many_fill_the_streams(images: int, batch_size: int, streams: int) -> None:
    found = batches_for(ONE, images, "openvino", batch_size=8, streams=None, threads=2)
    assert found == {"batch_size": batch_size, "streams": streams}


def test_an_engine_without_streams_has_one() -> None:
    assert batches_for(ONE, 100, "onnxruntime", batch_size=8, streams=None, threads=2)["streams"] == 1


@pytest.mark.parametrize("crops", [1, 2, 10, 12, 144])
@pytest.mark.parametrize(("base", "scales"), [(32, ()), (24, ()), (32, (24, 32)), (40, (24,))])
def test_distinct_views_are_those_that_are_cut(crops: int, base: int, scales: tuple[int, ...]) -> None:
    try:
        protocol = Protocol(Size.of(base), Size.of(24), crops, scales=scales)
    except UsageError:
        assert crops == 144
        assert not scales
        return
    cut = len(cut_views(np.zeros((90, 300, 3), np.uint8), protocol))
    if crops != 144 or scales == (24,):
        assert protocol.distinct_views == cut
    else:
        assert protocol.distinct_views == sum(6 if s == 24 else 36 for s in scales) >= cut
