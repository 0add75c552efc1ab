"""The losses of BVLC beside softmax and Euclidean loss, against real Caffe over drawn shapes and settings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import LoweringError, ShapeError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import SEEDS, arrays, cases, shapes
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe

RULES = st.sampled_from(["", "normalization: VALID", "normalization: FULL", "normalization: NONE", "normalize: true"])


def text(kind: str, bottoms: str, param: str = "", tops: str = "y") -> str:
    blobs = "".join(f' bottom: "{b}"' for b in bottoms) + "".join(f' top: "{t}"' for t in tops.split())
    return f'name: "l" type: "{kind}"{blobs} {param}'


@requires_caffe
@cases(30)
@given(shapes(2, 4), RULES, st.booleans(), SEEDS)
def test_sigmoid_cross_entropy(shape: tuple[int, ...], rule: str, ignore: bool, seed: int) -> None:
    inputs = arrays({"x": shape, "t": shape}, seed, low=-9, high=9)
    inputs["t"] = np.random.default_rng(seed).integers(0, 3 if ignore else 2, shape).astype(np.float32)
    param = f"loss_param {{ {rule} {'ignore_label: 2' if ignore else ''} }}"
    assert assert_layer_matches_caffe(text("SigmoidCrossEntropyLoss", "xt", param), inputs) == "matched"


@requires_caffe
@cases(20)
@given(shapes(2, 4), st.sampled_from(["L1", "L2"]), SEEDS)
def test_hinge(shape: tuple[int, ...], norm: str, seed: int) -> None:
    inputs = arrays({"x": shape, "t": shape[:1]}, seed, low=-3, high=3)
    inputs["t"] = np.random.default_rng(seed).integers(0, math.prod(shape[1:]), shape[:1]).astype(np.float32)
    layer = text("HingeLoss", "xt", f"hinge_loss_param {{ norm: {norm} }}")
    assert assert_layer_matches_caffe(layer, inputs) == "matched"


@requires_caffe
@cases(15)
@given(shapes(2, 2), st.booleans(), st.floats(0.25, 3), SEEDS)
def test_contrastive(shape: tuple[int, ...], legacy: bool, margin: float, seed: int) -> None:
    inputs = arrays({"a": shape, "b": shape, "t": shape[:1]}, seed)
    inputs["t"] = (inputs["t"] > 0).astype(np.float32)
    param = f"contrastive_loss_param {{ margin: {margin} legacy_version: {str(legacy).lower()} }}"
    assert assert_layer_matches_caffe(text("ContrastiveLoss", "abt", param), inputs) == "matched"


@requires_caffe
@cases(15)
@given(shapes(2, 2), SEEDS)
def test_multinomial_logistic(shape: tuple[int, ...], seed: int) -> None:
    inputs = arrays({"x": shape, "t": shape[:1]}, seed, low=0)
    inputs["x"][0] = 0  # a probability of 0 is taken as 1e-20
    inputs["t"] = np.random.default_rng(seed).integers(0, shape[1], shape[:1]).astype(np.float32)
    assert assert_layer_matches_caffe(text("MultinomialLogisticLoss", "xt"), inputs) == "matched"


@requires_caffe
@cases(25)
@given(shapes(2, 4), st.integers(1, 3), RULES, st.booleans(), SEEDS)
def test_infogain(shape: tuple[int, ...], axis: int, rule: str, ignore: bool, seed: int) -> None:
    axis = min(axis, len(shape) - 1)
    classes = shape[axis]
    labels = tuple(1 if i == axis else d for i, d in enumerate(shape))
    inputs = arrays({"x": shape, "t": labels, "h": (classes, classes)}, seed, low=-3, high=3)
    inputs["t"] = np.random.default_rng(seed).integers(0, classes, labels).astype(np.float32)
    param = f"infogain_loss_param {{ axis: {axis} }} loss_param {{ {rule} {'ignore_label: 0' if ignore else ''} }}"
    status = assert_layer_matches_caffe(text("InfogainLoss", "xth", param), inputs, batch_free=False)
    assert status == ("refused" if rule == "normalize: true" else "matched")


def test_the_matrix_of_the_infogain_loss_is_read_from_its_file(tmp_path) -> None:
    gains = np.array([[1, 0.5], [0, 2]], np.float32)
    blob = pb.BlobProto(height=2, width=2)
    blob.data.extend(gains.ravel())
    file = tmp_path / "H.binaryproto"
    layer = text("InfogainLoss", "xt", f'infogain_loss_param {{ source: "{file.as_posix()}" }}')
    x, t = np.array([[0, 1], [2, -1]], np.float32), np.array([1, 0], np.float32)
    with pytest.raises(LoweringError, match="cannot read the infogain matrix"):
        forward(layer, {"x": x, "t": t})
    file.write_bytes(blob.SerializeToString())
    log = x - np.log(np.exp(x).sum(1, keepdims=True))
    (found,) = forward(layer, {"x": x, "t": t})
    np.testing.assert_allclose(found, -(gains[[1, 0]] * log).sum() / 2, rtol=1e-5)
    file.write_bytes(b"\x00not a message")
    with pytest.raises(LoweringError, match="it is no BlobProto"):
        forward(layer, {"x": x, "t": t})


@pytest.mark.parametrize(
    ("kind", "bottoms", "message"),
    [
        ("SigmoidCrossEntropyLoss", [(2, 3), (2, 2)], "as many targets as values"),
        ("HingeLoss", [(2, 3), (3,)], "one label a sample"),
        ("ContrastiveLoss", [(2, 3), (2, 4), (2,)], "two bottoms N x C"),
        ("InfogainLoss", [(2, 3), (2,), (2, 2)], "infogain matrix of 3 x 3"),
    ],
)
def test_bottoms_that_do_not_fit(kind: str, bottoms: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        make_layer(layer_proto(text(kind, "abc"[: len(bottoms)]))).top_shapes(bottoms)


def test_a_loss_without_top_counts_all_the_same() -> None:
    layer = make_layer(layer_proto(text("HingeLoss", "xt", tops="")))
    assert layer.top_shapes([(2, 3), (2,)]) == [()]
