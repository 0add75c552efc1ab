"""State dict to blobs: every tensor accounted for."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import BindingError, SourceError
from caffezoo.net.graph import Network
from caffezoo.weights.convert import convert_state_dict, convert_weights
from caffezoo.zoo.tensor_map import BlobSource, TensorMap

from . import tiny_network as tiny


@pytest.fixture(scope="module")
def net() -> Network:
    return Network.from_text(tiny.PROTOTXT)


def test_report(net):
    state = tiny.tensors()
    blobs, report = convert_state_dict(state, tiny.tensor_map(), net)
    assert (report.tensors_read, report.tensors_mapped) == (8, 7)
    assert report.unused == ("norm.num_batches_tracked",)
    (change,) = report.changed
    assert (change.tensor, change.layer) == ("stem.weight", "conv")
    assert change.changes == ("rgb_to_bgr", "zero_extended")
    assert (change.shape_before, change.shape_after) == ((4, 3, 3, 3), (4, 3, 4, 4))
    assert report.elements_read == sum(v.size for k, v in state.items() if "num_batches" not in k)
    assert report.elements_written == report.elements_read + 4 * 3 * 7 + 1
    np.testing.assert_array_equal(blobs["bn"][2], [1.0])
    assert all(b.dtype == np.float32 and b.flags.c_contiguous for made in blobs.values() for b in made)


def test_tensors_missing_and_strange(net):
    state = tiny.tensors()
    del state["head.bias"], state["norm.bias"]
    state["extra.weight"] = np.zeros(1)
    with pytest.raises(BindingError) as caught:
        convert_state_dict(state, tiny.tensor_map(), net, where="a.pth")
    text = str(caught.value)
    assert "a.pth: 2 tensors are missing: head.bias, norm.bias, 1 tensors have no place: extra.weight" in text


@pytest.mark.parametrize("shape", [(5, 63), (5, 64, 1, 1), (64,), ()])
def test_shapes_are_the_networks(net, shape):
    state = {**tiny.tensors(), "head.weight": np.zeros(shape)}
    with pytest.raises(BindingError, match=r"head.weight has shape .* layer 'fc' wants \[5, 64\]"):
        convert_state_dict(state, tiny.tensor_map(), net)


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (4, 3), ()])
def test_shapes_before_a_change(net, shape):
    state = {**tiny.tensors(), "stem.weight": np.zeros(shape)}
    with pytest.raises(BindingError, match=r"stem.weight has shape .* layer 'conv' wants \[4, 3, 4, 4\]"):
        convert_state_dict(state, tiny.tensor_map(), net)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_are_none(net, value):
    state = tiny.tensors()
    state["head.bias"] = np.full(5, value)
    with pytest.raises(BindingError, match="not finite"):
        convert_state_dict(state, tiny.tensor_map(), net)


def test_a_map_that_is_not_the_networks(net):
    layers = dict(tiny.tensor_map().layers)
    fewer = TensorMap({k: v for k, v in layers.items() if k != "fc"})
    with pytest.raises(BindingError, match="gives layer 'fc' 0 blobs, it has 2"):
        convert_state_dict(tiny.tensors(), fewer, net)
    more = TensorMap({**layers, "none": (BlobSource("head.bias"),)})
    with pytest.raises(BindingError, match="gives layer 'none' 1 blobs, it has 0"):
        convert_state_dict(tiny.tensors(), more, net)


def test_no_reader_and_no_map(tmp_path):
    for framework, network in (("mxnet", "efficientnet-lite0"), ("torch", "tiny")):
        with pytest.raises(SourceError, match=f"{framework} weights cannot be converted for {network}"):
            convert_weights(network, framework, tmp_path / "a", tmp_path / "b", tmp_path / "c")
