"""Fillers by their distributions: mean, deviation, limits, and what each promises exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffezoo.errors import TrainingError, UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.training.fillers import fill, filled_weights

SHAPE = (40, 30, 5, 5)
COUNT = math.prod(SHAPE)


def drawn(type_: str, shape=SHAPE, **fields) -> np.ndarray:
    return fill(pb.FillerParameter(type=type_, **fields), shape, np.random.default_rng(5))


def assert_moments(x: np.ndarray, mean: float, deviation: float) -> None:
    """Assert mean and deviation within six standard errors."""
    error = deviation / math.sqrt(x.size)
    assert abs(x.mean() - mean) < 6 * error
    assert abs(x.std() - deviation) < 6 * error


def test_constant_uniform_and_gaussian():
    assert (drawn("constant", value=0.25) == 0.25).all()
    x = drawn("uniform", min=-1, max=3)
    assert -1 <= x.min() < -0.99
    assert 2.99 < x.max() <= 3
    assert_moments(x, 1, 4 / math.sqrt(12))
    assert_moments(drawn("gaussian", mean=2, std=0.5), 2, 0.5)


def test_sparse_gaussians_keep_so_many_inputs_an_output():
    kept = drawn("gaussian", shape=(50, 4000), sparse=5) != 0
    assert abs(kept.mean() - 0.1) < 6 * math.sqrt(0.09 / kept.size)


@pytest.mark.parametrize(("norm", "fan"), [("FAN_IN", 750), ("FAN_OUT", 1000), ("AVERAGE", 875)])
def test_xavier_and_msra_by_fan(norm, fan):
    x = drawn("xavier", variance_norm=norm)
    assert abs(x).max() <= math.sqrt(3 / fan)
    assert_moments(x, 0, math.sqrt(1 / fan))
    assert_moments(drawn("msra", variance_norm=norm), 0, math.sqrt(2 / fan))


def test_positive_unitball_rows_sum_to_one():
    x = drawn("positive_unitball", shape=(7, 3, 2))
    assert (x >= 0).all()
    np.testing.assert_allclose(x.reshape(7, -1).sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize(("size", "line"), [(4, [0.25, 0.75, 0.75, 0.25]), (3, [0.5, 1, 0.5]), (2, [0.5, 0.5])])
def test_bilinear_is_the_outer_product_of_a_triangle(size, line):
    x = drawn("bilinear", shape=(2, 1, size, size))
    np.testing.assert_allclose(x[1, 0], np.outer(line, line), rtol=1e-6)


@pytest.mark.parametrize(
    ("filler", "shape", "error"),
    [
        (pb.FillerParameter(type="xaiver"), (2,), UnknownNameError),
        (pb.FillerParameter(type="bilinear"), (2, 3), TrainingError),
        (pb.FillerParameter(type="xavier", sparse=3), (2, 3), TrainingError),
    ],
)
def test_what_cannot_fill_is_refused(filler, shape, error):
    with pytest.raises(error):
        fill(filler, shape, np.random.default_rng(0))


def test_layers_begin_as_in_caffe():
    network = Network.from_text("""
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 5 dim: 5 } } }
        layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x" }
        layer { name: "scale" type: "Scale" bottom: "x" top: "x" scale_param { bias_term: true } }
        layer { name: "prelu" type: "PReLU" bottom: "x" top: "x" }
        layer { name: "bias" type: "Bias" bottom: "x" top: "x" }
        layer { name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 kernel_size: 1
                bias_filler { value: 3 } } }""")
    found = filled_weights(network, 0)
    firsts = {name: [float(b.reshape(-1)[0]) for b in blobs] for name, blobs in found.items()}
    assert firsts == {"bn": [0, 0, 0], "scale": [1, 0], "prelu": [0.25], "bias": [0], "conv": [0, 3]}


def test_a_seed_draws_a_layers_blobs_whatever_stands_beside_it():
    ip = 'layer {{ name: "{}" type: "InnerProduct" bottom: "x" top: "{}" inner_product_param {{ num_output: 3 '
    ip += 'weight_filler {{ type: "gaussian" }} }} }}'
    head = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }'
    one = filled_weights(Network.from_text(head + ip.format("a", "a")), 3)
    two = filled_weights(Network.from_text(head + ip.format("b", "b") + ip.format("a", "a")), 3)
    np.testing.assert_array_equal(one["a"][0], two["a"][0])
    assert (two["a"][0] != two["b"][0]).all()
