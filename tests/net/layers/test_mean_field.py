"""MultiStageMeanfield against its equations with one lattice filter; the filter has tests of its own."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.lattice import place
from tests.oracle import assert_close, layer_proto, one_layer_net, seeded_blobs

PARAM = "num_iterations: 3 compatibility_mode: POTTS threshold: 2 theta_alpha: 16 theta_beta: 3 theta_gamma: 3"
LAYER = 'name: "crf" type: "MultiStageMeanfield" bottom: "unary" bottom: "q" bottom: "data" top: "y" '
SHAPES = {"unary": (1, 4, 6, 7), "q": (1, 4, 6, 7), "data": (1, 3, 6, 7)}


def network(param: str = PARAM, shapes: dict[str, tuple[int, ...]] = SHAPES) -> Network:
    proto = layer_proto(f"{LAYER} multi_stage_meanfield_param {{ {param} }}")
    return Network.from_proto(one_layer_net(proto, shapes))


def test_rounds_of_softmax_messages_and_compatibility() -> None:
    rng = np.random.default_rng(0)
    unary, q = (rng.uniform(-2, 2, (1, 4, 6, 7)).astype(np.float32) for _ in range(2))
    data = rng.uniform(-20, 20, (1, 3, 6, 7)).astype(np.float32)
    net = network()
    blobs = [b - np.float32(0.5) for b in seeded_blobs(net.nodes[-1].blob_shapes)]
    (found,) = net.nodes[-1].layer.host([unary, q, data], blobs)

    pixels = [(x / 3, y / 3) for y in range(6) for x in range(7)]
    colours = data.reshape(3, -1).T / 3
    near = place(np.array(pixels, np.float32))
    alike = place(
        np.array([(x * 3 / 16, y * 3 / 16, *c) for (x, y), c in zip(pixels, colours, strict=True)], np.float32)
    )
    spatial, bilateral, compatibility = (b[0, 0] for b in blobs)
    one = np.ones((1, 42))
    scores = q.reshape(4, 42)
    for _ in range(3):
        p = np.exp(scores) / np.exp(scores).sum(0)
        messages = spatial @ (near.filtered(p) / near.filtered(one))
        messages += bilateral @ (alike.filtered(p) / alike.filtered(one))
        scores = unary.reshape(4, 42) - compatibility @ messages
    assert_close(found, scores.reshape(1, 4, 6, 7), "scores")


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("theta_alpha: 1 theta_beta: 1 theta_gamma: 1", "takes num_iterations"),
        ("num_iterations: 1 theta_alpha: 1 theta_beta: 1 theta_gamma: 1", "from 2 to"),
        ("num_iterations: 2 theta_alpha: 1 theta_beta: 0 theta_gamma: 1", "must be positive"),
        (PARAM + " spatial_weight: 3", "no field 'spatial_weight'"),
    ],
)
def test_parameters_that_it_cannot_take(param: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        network(param)


def test_more_than_one_image_is_refused() -> None:
    with pytest.raises(ShapeError, match="of one sample"):
        network(shapes={name: (2, *shape[1:]) for name, shape in SHAPES.items()})
