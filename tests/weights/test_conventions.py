"""Normalisation, order of classes, background: held against the arithmetic on a real network's first layers."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.errors import BindingError, UsageError
from caffezoo.net.graph import Network
from caffezoo.weights.conventions import adapt, class_order, drop_background
from caffezoo.zoo.synsets import label_permutation
from caffezoo.zoo.tensor_map import BlobSource, Conventions, TensorMap

SOURCE = Conventions((127.5, 120.0, 110.0), (127.5, 60.0, 58.0), "2012")
WANTED = Conventions((104.0, 117.0, 123.0), (1.0, 2.0, 58.0), "2015")
BATCH_NORM = """
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
"""


def network(pad: int, bias: bool, norm: bool = True, classes: int = 1000) -> Network:
    return Network.from_text(f"""
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 9 dim: 9 }} }} }}
    layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param {{ num_output: 4 kernel_size: 3 pad: {pad} bias_term: {str(bias).lower()} }} }}
    {BATCH_NORM if norm else ""}
    layer {{ name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
      inner_product_param {{ num_output: {classes} }} }}
    """)


def drawn(net: Network) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(3)
    blobs = {
        n.name: [rng.uniform(0.5, 1.5, s).astype(np.float32) for s in n.blob_shapes] for n in net.nodes if n.blob_shapes
    }
    if "bn" in blobs:
        blobs["bn"][2][:] = 7.0  # Caffe divides mean and variance by it
    return blobs


def outputs(net: Network, blobs: dict[str, list[np.ndarray]], pixels: np.ndarray, c: Conventions, blob: str):
    mean, std = (np.array(v, np.float32)[None, :, None, None] for v in (c.mean, c.std))
    with create_engine("openvino", net.with_weights(blobs), outputs=[blob]) as engine:
        return engine.run(((pixels - mean) / std).astype(np.float32))[blob]


@pytest.mark.parametrize(
    ("pad", "bias", "norm"), [(0, True, True), (0, False, True), (0, True, False), (1, False, True)]
)
def test_same_image_same_scores(pad, bias, norm):
    net = network(pad, bias, norm)
    before = drawn(net)
    after = {name: list(made) for name, made in before.items()}
    notes = adapt(after, net, SOURCE, WANTED)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 3, 9, 9)).astype(np.float32)
    blob = "conv"
    theirs, ours = outputs(net, before, pixels, SOURCE, blob), outputs(net, after, pixels, WANTED, blob)
    inner = slice(pad, -pad or None)
    scale = np.abs(theirs).max()
    assert np.abs(ours - theirs)[..., inner, inner].max() < 1e-4 * scale
    assert ("image's border" in notes[0]) == (pad > 0)
    if pad:
        assert np.abs(ours - theirs).max() > 1e-3 * scale  # the note is not for nothing
    else:
        scores = [outputs(net, b, pixels, c, "fc")[0] for b, c in ((before, SOURCE), (after, WANTED))]
        np.testing.assert_allclose(scores[1][list(label_permutation("2012", "2015"))], scores[0], rtol=1e-3)


def test_arrays_are_not_written_into():
    net = network(0, True)
    blobs = drawn(net)
    for made in blobs.values():
        for array in made:
            array.setflags(write=False)
    adapt(blobs, net, SOURCE, WANTED)


@pytest.mark.parametrize(
    "wanted",
    [Conventions(), Conventions(SOURCE.mean), Conventions((127.51, 120.01, 110.0), SOURCE.std), SOURCE],
)
def test_nothing_to_do(wanted):
    net = network(0, True)
    blobs = drawn(net)
    before = {name: list(made) for name, made in blobs.items()}
    assert adapt(blobs, net, SOURCE, wanted) == ()
    assert all(a is b for name, made in blobs.items() for a, b in zip(made, before[name], strict=True))


def test_class_order_is_the_evaluations():
    order = class_order("2012", "2015")
    assert sorted(order) == list(range(1000))
    np.testing.assert_array_equal(np.argsort(order), label_permutation("2012", "2015"))
    np.testing.assert_array_equal(order[class_order("2015", "2012")], np.arange(1000))
    with pytest.raises(UsageError, match="no such order"):
        class_order("2012", "2013")


def test_cannot():
    net = network(0, False, norm=False)
    with pytest.raises(BindingError, match="neither bias nor BatchNorm"):
        adapt(drawn(net), net, SOURCE, WANTED)
    net = network(0, True, classes=10)
    with pytest.raises(BindingError, match="has 10 outputs"):
        adapt(drawn(net), net, SOURCE, Conventions(labels="2015"))


def test_background():
    net = network(0, True, norm=False)
    mapping = TensorMap({"conv": (BlobSource("c"),), "fc": (BlobSource("w"), BlobSource("b"))}, background=True)
    size = net.node("fc").blob_shapes[0][1]
    state = {"c": np.zeros(3), "w": np.arange(1001.0)[:, None].repeat(size, 1), "b": np.arange(1001.0)}
    kept, notes = drop_background(state, mapping, net, asked=False, where="f")
    assert kept["w"].shape == (1000, size)
    assert kept["b"][0] == kept["w"][0, 0] == 1
    assert "first of 1001" in notes[0]
    exact = {**state, "w": state["w"][1:], "b": state["b"][1:]}
    assert drop_background(exact, mapping, net, asked=False, where="f") == (exact, ())
    with pytest.raises(BindingError, match=r"no background class to leave out: tensor w has \[1000\] rows"):
        drop_background(exact, mapping, net, asked=True, where="f")
    plain = TensorMap(mapping.layers)
    assert drop_background(state, plain, net, asked=False, where="f") == (state, ())
    assert drop_background(state, plain, net, asked=True, where="f")[1]
