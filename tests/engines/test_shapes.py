"""Networks whose inputs have no batch axis in common, or whose blobs are inputs: engines at the declared shapes."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.engines.networks import requires_torch

names = pytest.mark.parametrize("name", ["openvino", "onnxruntime", pytest.param("torch", marks=requires_torch)])


def layer(kind: str, bottoms: str, tops: str, param: str = "") -> str:
    blobs = "".join(f' {key}: "{b}"' for key, names in (("bottom", bottoms), ("top", tops)) for b in names.split())
    return f'layer {{ name: "{kind}" type: "{kind}"{blobs} {param} }}\n'


def inputs(**shapes: tuple[int, ...]) -> str:
    return "".join(f'input: "{n}" input_shape {{ {" ".join(f"dim: {d}" for d in s)} }}\n' for n, s in shapes.items())


@names
def test_inputs_of_different_length_run_at_their_own_shapes(name: str) -> None:
    text = inputs(a=(3, 2), b=(4, 2)) + layer("Concat", "a b", "y", "concat_param { axis: 0 }")
    a, b = np.ones((3, 2), np.float32), np.zeros((4, 2), np.float32)
    with create_engine(name, Network.from_text(text), batch_size=None) as made:
        assert made.run({"a": a, "b": b})["y"].sum(1).tolist() == [2, 2, 2, 0, 0, 0, 0]
        with pytest.raises(ShapeError, match=r"'b' has shape \[3, 2\], wanted is \[4, 2\]"):
            made.run({"a": a, "b": a})


@names
def test_a_blob_that_nothing_reads_and_one_that_only_silence_reads(name: str) -> None:
    text = inputs(x=(2, 3), unread=(2,), quiet=(2, 1)) + layer("Silence", "quiet", "") + layer("Sigmoid", "x", "y")
    feed = {"x": np.zeros((2, 3), np.float32), "unread": np.float32([4, 5]), "quiet": np.zeros((2, 1), np.float32)}
    with create_engine(name, Network.from_text(text), batch_size=2) as made:
        found = made.run(feed)
    assert found.keys() == {"unread", "y"}
    assert found["unread"].tolist() == [4, 5]
    assert (found["y"] == 0.5).all()


@names
def test_an_output_that_was_made_in_place_of_an_input(name: str) -> None:
    with create_engine(name, Network.from_text(inputs(x=(2, 2)) + layer("ReLU", "x", "x"))) as made:
        assert made.run(np.float32([[-1, 2]]))["x"].tolist() == [[0, 2]]


def test_a_model_is_fixed_only_where_a_layer_has_no_other_form() -> None:
    cut = layer("Slice", "x", "y z", "slice_param { axis: 0 slice_point: 1 }")
    assert _dims(inputs(x=(3, 2)) + cut) == {"x": [3, 2], "y": [1, 2], "z": [2, 2]}
    assert _dims(inputs(x=(3, 2)) + layer("ReLU", "x", "y")) == {"x": ["N", 2], "y": ["N", 2]}


def _dims(text: str) -> dict[str, list[int | str]]:
    graph = to_onnx(Network.from_text(text)).graph
    return {
        p.name: [d.dim_param or d.dim_value for d in p.type.tensor_type.shape.dim]
        for p in (*graph.input, *graph.output)
    }
