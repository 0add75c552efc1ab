"""SoftmaxWithLoss, Accuracy and EuclideanLoss."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import SEEDS, arrays, cases, shapes
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, layer_proto, onnx_outputs, requires_caffe


def _inputs(shape: tuple[int, ...], axis: int, seed: int, steps: int | None = None) -> dict[str, np.ndarray]:
    """Return scores and labels, with 1 on the class axis."""
    inputs = arrays({"x": shape}, seed, -3, 3, steps)
    line = (*shape[:axis], 1, *shape[axis + 1 :])
    labels = np.random.default_rng(seed + 1).integers(0, shape[axis], line)
    return {**inputs, "label": labels.astype(np.float32)}


IGNORED = st.sampled_from([None, 0, 1, -1, 255])


@requires_caffe
@cases(35)
@given(
    shapes(2, 4),
    st.integers(1, 3),
    IGNORED,
    st.sampled_from(
        ["", "normalization: FULL", "normalization: BATCH_SIZE", "normalization: NONE", "normalize: false"]
    ),
    SEEDS,
)
def test_softmax_with_loss_matches_caffe(
    shape: tuple[int, ...], axis: int, ignore: int | None, rule: str, seed: int
) -> None:
    axis = min(axis, len(shape) - 1)
    inputs = _inputs(shape, axis, seed)
    if ignore is not None and ignore >= shape[axis]:
        inputs["label"].flat[0] = ignore
    skip = "" if ignore is None else f"ignore_label: {ignore}"
    text = _text("SoftmaxWithLoss", f"softmax_param {{ axis: {axis} }} loss_param {{ {rule} {skip} }}")
    assert assert_layer_matches_caffe(text, inputs) == "matched"


@requires_caffe
@cases(35)
@given(shapes(2, 4), st.integers(1, 3), st.integers(1, 3), IGNORED, st.booleans(), st.booleans(), SEEDS)
def test_accuracy_matches_caffe(
    shape: tuple[int, ...], axis: int, top_k: int, ignore: int | None, ties: bool, per_class: bool, seed: int
) -> None:
    axis = min(axis, len(shape) - 1)
    skip = "" if ignore is None else f"ignore_label: {ignore}"
    text = _text("Accuracy", f"accuracy_param {{ top_k: {top_k} axis: {axis} {skip} }}", "y z" if per_class else "y")
    status = assert_layer_matches_caffe(text, _inputs(shape, axis, seed, 3 if ties else None))
    assert status == ("matched" if top_k <= shape[axis] else "refused")


@requires_caffe
@cases(10)
@given(shapes(2, 4), SEEDS)
def test_euclidean_loss_matches_caffe(shape: tuple[int, ...], seed: int) -> None:
    text = _text("EuclideanLoss", "")
    inputs = arrays({"x": shape, "label": (shape[0], math.prod(shape[1:]))}, seed)
    assert assert_layer_matches_caffe(text, inputs) == "matched"


@requires_caffe
@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "Accuracy", "EuclideanLoss"])
def test_caffe_refuses_a_wrong_label_count_too(kind: str) -> None:
    assert assert_layer_matches_caffe(_text(kind, ""), arrays({"x": (3, 4), "label": (2,)}, 0)) == "refused"


def test_the_second_top_of_the_loss_is_the_softmax() -> None:
    """The oracle's build cannot run it: it hands both loss weights to its inner Softmax layer, which has one top."""
    x = _inputs((3, 4), 1, 0)
    loss, softmax = forward(_text("SoftmaxWithLoss", "loss_weight: 1 loss_weight: 0", "y z"), x)
    power = np.exp(x["x"])
    np.testing.assert_allclose(softmax, power / power.sum(1, keepdims=True), rtol=1e-5)
    chosen = softmax[np.arange(3), x["label"].ravel().astype(int)]
    np.testing.assert_allclose(loss, -np.log(chosen).mean(), rtol=1e-5)


def test_a_second_top_takes_two_loss_weights() -> None:
    with pytest.raises(ShapeError, match="with 2 tops takes 2 loss_weight"):
        make_layer(layer_proto(_text("SoftmaxWithLoss", "", "y z"))).top_shapes([(3, 4), (3,)])


def test_classes_on_the_batch_axis_run_at_the_declared_batch() -> None:
    scores = np.eye(3, 4, dtype=np.float32)
    labels = np.array([0, 2, 2, 0], np.float32)  # the last sample scores 0 everywhere: a tie counts against the label
    (found,) = forward(_text("Accuracy", "accuracy_param { axis: 0 }"), {"x": scores, "label": labels})
    assert found == 0.5


def _text(kind: str, rest: str, tops: str = "y") -> str:
    names = " ".join(f'top: "{t}"' for t in tops.split())
    return f'name: "l" type: "{kind}" bottom: "x" bottom: "label" {names} {rest}'


def test_a_fixed_normalizer_divides_the_sum_of_the_losses() -> None:
    text = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "loss"
      loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 8 } }"""
    x, t = np.array([[0, 1, 2], [3, 1, 0]], np.float32), np.array([2, 1], np.float32)
    wanted = sum(np.log(np.exp(row).sum()) - row[int(k)] for row, k in zip(x, t, strict=True)) / 8
    for runtime, found in onnx_outputs(to_onnx(Network.from_text(text)), {"x": x, "t": t}).items():
        np.testing.assert_allclose(found["loss"], wanted, rtol=1e-5, err_msg=runtime)
