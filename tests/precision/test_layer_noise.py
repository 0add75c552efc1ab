"""The noise of float16 by form, on networks whose loss is known by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffezoo.engines.rounding import round_float16
from caffezoo.engines.seeding import seeded_inputs, seeded_weights
from caffezoo.errors import NetworkError
from caffezoo.net.graph import Network

pytest.importorskip("torch", reason="needs PyTorch")

from caffezoo.precision.data_statistics import with_data_statistics
from caffezoo.precision.layer_noise import (
    EVERY_LAYER,
    FOLDED,
    FORMS,
    NORM_IN_FLOAT32,
    WEIGHTS_ONLY,
    decibel,
    form_noise,
)

NET = """
input: "data" input_shape { dim: 4 dim: 2 dim: 6 dim: 6 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 3 kernel_size: 3 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { eps: 1e-3 } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "relu" }
layer { name: "fc" type: "InnerProduct" bottom: "relu" top: "fc" inner_product_param { num_output: 5 } }
"""


def network(variance: float = 1.0) -> Network:
    net = Network.from_text(NET)
    weights, _ = seeded_weights(net)
    weights["bn"] = [np.zeros(3, np.float32), np.full(3, variance, np.float32), np.ones(1, np.float32)]
    return net.with_weights(weights)


def batches(net: Network, count: int = 2) -> list[dict[str, np.ndarray]]:
    return [seeded_inputs(net, seed, batch=4) for seed in range(count)]


def test_every_form_is_measured_on_all_samples() -> None:
    net = network()
    found = form_noise(net, batches(net))
    assert [f.form for f in found] == list(FORMS)
    assert all(f.samples == 8 and f.largest < 0.05 for f in found)
    by_form = {f.form: f for f in found}
    assert [b.blob for b in by_form[EVERY_LAYER].blobs] == ["conv", "relu", "fc"]
    assert by_form[EVERY_LAYER].blobs[0].layers == ("conv", "bn", "scale")
    assert all(40 < b.decibel < 100 for f in found for b in f.blobs)


def test_a_variance_beyond_float16_is_lost_but_where_batch_norm_is_float32_or_folded() -> None:
    """1 / sqrt(inf) is 0: the channel is beta everywhere."""
    net = network(variance=1e5)
    net = net.with_weights({**net.weights, "conv": [w * np.float32(316) for w in net.weights["conv"]]})
    found = {f.form: f.blobs[0].decibel for f in form_noise(net, batches(net))}
    assert found[EVERY_LAYER] < 10
    assert min(found[NORM_IN_FLOAT32], found[FOLDED], found[WEIGHTS_ONLY]) > 50


def test_rounding_is_that_of_numpy() -> None:
    """A layer of one product: the rounded weight times the rounded input, rounded."""
    net = Network.from_text(
        'input: "x" input_shape { dim: 3 dim: 1 } layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"'
        " inner_product_param { num_output: 2 bias_term: false } }"
    ).with_weights({"fc": [np.array([[0.1], [-3.3]], np.float32)]})
    x = np.array([[1.7], [-0.3], [2.9]], np.float32)
    (found,) = form_noise(net, [{"x": x}], [EVERY_LAYER])
    w = net.weights["fc"][0]
    wanted = x @ w.T
    rounded = round_float16(round_float16(x) @ round_float16(w).T)
    assert found.blobs[0].decibel == pytest.approx(
        decibel(float(np.square(wanted.astype(float)).sum()), float(np.square(wanted.astype(float) - rounded).sum()))
    )
    assert found.largest == pytest.approx(float(np.abs(wanted - rounded).max()))


def test_an_overflow_is_minus_infinity_and_differs() -> None:
    net = network()
    net = net.with_weights({**net.weights, "fc": [np.full_like(w, 6e4) for w in net.weights["fc"]]})
    found = {f.form: f for f in form_noise(net, batches(net))}
    assert found[EVERY_LAYER].blobs[-1].decibel == -math.inf
    assert found[EVERY_LAYER].worst()[0].blob == "fc"
    assert found[EVERY_LAYER].top1_differs > 0
    assert math.isinf(found[EVERY_LAYER].largest) or math.isnan(found[EVERY_LAYER].largest)


@pytest.mark.parametrize(("signal", "noise", "wanted"), [(1.0, 0.01, 20.0), (4.0, 4.0, 0.0), (1.0, 0.0, math.inf)])
def test_decibel(signal: float, noise: float, wanted: float) -> None:
    assert decibel(signal, noise) == pytest.approx(wanted)


@pytest.mark.parametrize(("signal", "noise"), [(0.0, 1.0), (1.0, math.nan), (1.0, math.inf)])
def test_decibel_of_what_is_lost(signal: float, noise: float) -> None:
    assert decibel(signal, noise) == -math.inf


def test_a_network_that_computes_nothing() -> None:
    with pytest.raises(NetworkError):
        form_noise(Network.from_text('input: "x" input_shape { dim: 1 dim: 1 }'), [])


def test_statistics_of_data_bring_every_channel_to_mean_0_and_deviation_1() -> None:
    net = network(variance=7.0)
    batch = {name: 50 * x for name, x in seeded_inputs(net, 1, batch=16).items()}
    found = with_data_statistics(net, batch)
    conv = Network.from_text(NET.split('layer { name: "bn"')[0]).with_weights({"conv": net.weights["conv"]})
    from caffezoo.engines.registry import create_engine

    with create_engine("torch", conv, batch_size=16) as engine:
        x = engine.run(batch)["conv"].astype(float)
    assert found.weights["bn"][0] == pytest.approx(x.mean((0, 2, 3)), rel=1e-4)
    assert found.weights["bn"][1] == pytest.approx(x.var((0, 2, 3)), rel=1e-4)
    assert found.weights["bn"][2] == pytest.approx([1])
    assert found.weights["scale"][0] == pytest.approx(net.weights["scale"][0])
