"""CompactBilinear against sums over pairs of channels, and what the layers of its family refuse."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import ShapeError
from caffezoo.net.layers.second_order import glibc_rand
from tests.engines.networks import HERE
from tests.net.layers.opencv_runs import engine_outputs, network_of

FIRST = [1804289383, 846930886, 1681692777, 1714636915, 1957747793, 424238335, 719885386, 1649760492]
"""What a program of glibc prints that never calls srand."""


def _layer(kind: str, param: str = "") -> str:
    return f'name: "l" type: "{kind}" bottom: "x" bottom: "z" top: "y" {param}'


def test_the_generator_is_that_of_glibc() -> None:
    assert glibc_rand(8) == FIRST


@pytest.mark.parametrize("summed", [True, False], ids=["summed", "by_place"])
def test_each_pair_of_channels_lands_on_the_sum_of_its_places(summed: bool) -> None:
    rng = np.random.default_rng(0)
    bottoms = {"x": rng.uniform(-1, 1, (2, 3, 2, 4)).astype(np.float32)}
    bottoms["z"] = rng.uniform(-1, 1, (2, 2, 2, 4)).astype(np.float32)
    draws = iter(glibc_rand(10))
    sketches = []
    for channels in (3, 2):
        places = [next(draws) % 6 for _ in range(channels)]
        sketches.append([(p, 1 if next(draws) % 2 else -1) for p in places])
    wanted = np.zeros((2, 6, 2, 4))
    for a, (p, s) in enumerate(sketches[0]):
        for b, (q, t) in enumerate(sketches[1]):
            wanted[:, (p + q) % 6] += 6 * s * t * bottoms["x"][:, a] * bottoms["z"][:, b]
    if summed:
        wanted = wanted.sum((2, 3), keepdims=True)
    param = f"compact_bilinear_param {{ num_output: 6 sum_pool: {str(summed).lower()} }}"
    network = network_of(_layer("CompactBilinear", param), bottoms)
    for engine in HERE:
        np.testing.assert_allclose(engine_outputs(network, bottoms, engine)["y"], wanted, atol=1e-5, err_msg=engine)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_layer("CompactBilinear", "compact_bilinear_param { num_output: 5 }"), "an even number"),
        (_layer("CompactBilinear"), "an even number"),
        (_layer("ChannelScale", "channel_scale_param { global_scale: true }"), "global_scale is not supported"),
        (_layer("ChannelScale"), "a value for each place"),
        ('name: "l" type: "L2Normalization" bottom: "x" top: "y"', "by other norms"),
    ],
)
def test_what_cannot_be(text: str, message: str) -> None:
    shapes = {"x": (2, 3, 2, 4), "z": (2, 2, 2, 4)}
    bottoms = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if f'"{name}"' in text}
    with pytest.raises(ShapeError, match=message):
        network_of(text, bottoms)
