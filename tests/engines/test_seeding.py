"""Seeded weights are the same everywhere, and keep activations of order one."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import hashed_uniform, seeded_inputs, seeded_weights
from caffezoo.net.graph import Network
from tests.engines.networks import SMALL
from tests.oracle import ROOT


def test_numbers_depend_on_the_key_and_the_place_alone() -> None:
    """The numbers of the formula in plain Python integers: a change here breaks every recorded test."""

    def fmix32(h: int) -> int:
        h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
        h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
        return h ^ h >> 16

    keys = [zlib.crc32(b"0:conv1:0"), zlib.crc32(b"0:1vnoc:0")]
    wanted = [(fmix32(fmix32(i ^ keys[0]) ^ keys[1]) >> 8) / 2**23 - 1 for i in range(6)]
    assert hashed_uniform("0:conv1:0", (2, 3)).ravel().tolist() == wanted


def test_numbers_are_uniform_and_unrelated() -> None:
    a, b = (hashed_uniform(key, (100_000,)).astype(np.float64) for key in ("0:a:0", "0:a:1"))
    assert -1 <= a.min() < -0.999
    assert 0.999 < a.max() < 1
    assert abs(a.mean()) < 0.01
    assert abs(a.var() - 1 / 3) < 0.005
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.015
    assert abs(np.corrcoef(a[:-1], a[1:])[0, 1]) < 0.015


def test_exponents_make_the_weights_again() -> None:
    network = Network.from_text(SMALL)
    weights, exponents = seeded_weights(network, 7)
    assert set(exponents) == {"conv1", "fc"}
    again, same = seeded_weights(network, 7, exponents)
    assert same == exponents
    for name, blobs in weights.items():
        assert [b.tobytes() for b in blobs] == [b.tobytes() for b in again[name]]
        assert all(b.dtype == np.float32 for b in blobs)
        assert [b.shape for b in blobs] == list(network.node(name).blob_shapes)
    other, _ = seeded_weights(network, 8)
    assert other["fc"][0].tobytes() != weights["fc"][0].tobytes()


def test_variances_are_positive_and_the_factor_is_not_always_one() -> None:
    text = SMALL + "".join(
        f'layer {{ name: "bn{i}" type: "BatchNorm" bottom: "pool" top: "bn{i}" }}\n' for i in range(8)
    )
    weights, _ = seeded_weights(Network.from_text(text), 0, {})
    factors = set()
    for i in range(8):
        _, variance, factor = weights[f"bn{i}"]
        assert (variance / factor > 0.4).all()
        factors.add(factor.item())
    assert len(factors) > 1


@pytest.mark.parametrize("path", ["resnet/deploy_resnet50.prototxt", "dpn/deploy_dpn-68-extra.prototxt"])
def test_activations_stay_of_order_one_and_the_softmax_is_not_saturated(path: str) -> None:
    network = Network.load(ROOT / "prototxt" / path).resized(96)
    weights, exponents = seeded_weights(network)
    assert max(map(abs, exponents.values())) <= 8
    products = [node.tops[0].name for node in network.nodes if node.macs]
    probability = network.outputs[-1]
    with create_engine(
        "openvino", network.with_weights(weights), batch_size=2, outputs=[*dict.fromkeys(products), probability]
    ) as engine:
        found = engine.run(seeded_inputs(network, 1))
    deviations = [found[name].std() for name in products]
    assert min(deviations) > 0.2
    assert max(deviations) < 10
    assert 0.9 < found[products[-1]].std() < 2.2
    assert found[probability].max() < 0.5
    assert not np.allclose(found[products[-1]][0], found[products[-1]][1], atol=0.05)


@pytest.mark.parametrize(
    "text",
    [
        # a batch that is written into the file
        'layer { name: "r" type: "Reshape" bottom: "x" top: "r" reshape_param { shape { dim: 5 dim: 12 } } }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "r" top: "y" inner_product_param { num_output: 7 } }',
        # outputs whose squares float32 does not hold
        'layer { name: "p" type: "Power" bottom: "x" top: "p" power_param { scale: 1e25 } }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "p" top: "y" inner_product_param { num_output: 7 } }',
        # what is silenced, and a product that no output needs
        'layer { name: "aux" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 2 } }\n'
        'layer { name: "s" type: "Silence" bottom: "a" }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 7 } }',
    ],
    ids=["tied-to-its-batch", "huge", "silenced"],
)
def test_products_are_brought_to_order_one_in_any_network(text: str) -> None:
    network = Network.from_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 5 dim: 3 dim: 2 dim: 2 } } }\n' + text
    )
    network = network.with_weights(seeded_weights(network)[0])
    with create_engine("openvino", network, threads=1) as engine:
        found = engine.run(seeded_inputs(network, batch=5))["y"]
    assert 0.5 < found.std() < 2.5


def test_huge_activations_end_in_finite_exponents() -> None:
    network = Network.from_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 8 } } }\n'
        'layer { name: "e" type: "Exp" bottom: "x" top: "e" exp_param { scale: 40 } }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "e" top: "y" inner_product_param { num_output: 7 } }'
    )
    exponents = seeded_weights(network)[1]
    assert 60 < exponents["fc"] <= 127


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_a_recurrence_forgets_what_it_saw_long_ago(kind: str) -> None:
    """Else the last bit of the first step decides the last step, and no two runtimes agree."""
    text = (
        'layer { name: "x" type: "Input" top: "x" top: "cont" input_param '
        "{ shape { dim: 60 dim: 2 dim: 40 } shape { dim: 60 dim: 2 } } }"
    ) + "".join(
        f'layer {{ name: "{top}" type: "{kind}" bottom: "{bottom}" bottom: "cont" top: "{top}" '
        "recurrent_param { num_output: 128 } }"
        for bottom, top in ("xa", "ab")
    )
    network = Network.from_text(text)
    weights, _ = seeded_weights(network)
    inputs = seeded_inputs(network, batch=60)
    inputs["cont"] = np.ones_like(inputs["cont"])
    other = {**inputs, "x": inputs["x"].copy()}
    other["x"][0] += np.float32(0.01)
    with create_engine("openvino", network.with_weights(weights)) as engine:
        a, b = (engine.run(x)["b"] for x in (inputs, other))
    assert np.abs(a[0] - b[0]).max() > 1e-5
    assert np.abs(a[-1] - b[-1]).max() < 1e-5
    assert a.std() > 0.02
