"""LSTM and RNN against real Caffe over drawn shapes, and what bounds them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import SEEDS, arrays, cases
from tests.oracle import assert_layer_matches_caffe, has_free_batch, layer_proto, one_layer_net, requires_caffe


def text(kind: str, bottoms: list[str], tops: list[str], param: str) -> str:
    blobs = "".join(f' bottom: "{b}"' for b in bottoms) + "".join(f' top: "{t}"' for t in tops)
    return f'name: "l" type: "{kind}"{blobs} recurrent_param {{ {param} }}'


@requires_caffe
@cases(40)
@given(
    st.sampled_from(["LSTM", "RNN"]),
    st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 5), st.integers(1, 4)),
    st.booleans(),
    st.booleans(),
    SEEDS,
)
def test_drawn_recurrences_match_caffe(
    kind: str, sizes: tuple[int, int, int, int], static: bool, exposed: bool, seed: int
) -> None:
    steps, samples, values, width = sizes
    shapes = {"x": (steps, samples, values), "cont": (steps, samples)}
    states = (["h", "c"] if kind == "LSTM" else ["h"]) if exposed else []
    if static:
        shapes["s"] = (samples, 2)
    shapes.update({f"{s}0": (1, samples, width) for s in states})
    inputs = arrays(shapes, seed)
    inputs["cont"] = (inputs["cont"] > 0).astype(np.float32)
    if not exposed:
        inputs["cont"][0] = 0  # Caffe would go on from the states of its last run
    layer = text(kind, list(shapes), ["y", *states], f"num_output: {width} expose_hidden: {str(exposed).lower()}")
    rng = np.random.default_rng(seed)
    shapes_of_blobs = make_layer(layer_proto(layer)).blob_shapes(list(shapes.values()))
    blobs = [rng.uniform(-1, 1, s).astype(np.float32) for s in shapes_of_blobs]
    assert assert_layer_matches_caffe(layer, inputs, blobs, batch_free=False) == "matched"


def test_the_length_of_a_sequence_is_free() -> None:
    net = one_layer_net(layer_proto(text("LSTM", ["x", "m"], ["y"], "num_output: 2")), {"x": (4, 1, 3), "m": (4, 1)})
    network = Network.from_proto(net)
    network = network.with_weights({"l": [np.zeros(s, np.float32) for s in network.nodes[-1].blob_shapes]})
    assert has_free_batch(to_onnx(network))


@pytest.mark.parametrize(
    ("bottoms", "message"),
    [
        ([(3, 2, 4), (2, 2)], "a marker for each step"),
        ([(3, 2, 4)], "takes 2 or 3 bottoms"),
        ([(3, 2, 4), (3, 2), (3, 5)], "a static input for each of 2 samples"),
        ([(1_000_000, 2, 4), (1_000_000, 2)], "1000000 steps are more than"),
    ],
)
def test_what_does_not_fit_is_refused(bottoms: list[tuple[int, ...]], message: str) -> None:
    names = [f"b{i}" for i in range(max(2, len(bottoms)))]
    layer = make_layer(layer_proto(text("LSTM", names, ["y"], "num_output: 2")))
    with pytest.raises(ShapeError, match=message):
        layer.top_shapes(bottoms)
