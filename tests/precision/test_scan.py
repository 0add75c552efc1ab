"""What float16 cannot hold, on networks made to have just that."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.net.graph import Network
from caffezoo.precision.scan import Finding, scan

NET = """
input: "data" input_shape { dim: 1 dim: 2 dim: 4 dim: 4 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 3 kernel_size: 1 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { eps: %s } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
"""


def network(eps: str = "1e-3", **changed: list[float]) -> Network:
    values: dict[str, list[float]] = {"mean": [0.0] * 3, "variance": [1.0] * 3, "gamma": [1.0] * 3, "beta": [0.5] * 3}
    values.update(changed)
    v = {name: np.array(x, np.float32) for name, x in values.items()}
    factor = np.array([2.0], np.float32)
    return Network.from_text(NET % eps).with_weights(
        {
            "conv": [np.full((3, 2, 1, 1), 0.5, np.float32)],
            "bn": [v["mean"] * 2, v["variance"] * 2, factor],
            "scale": [v["gamma"], v["beta"]],
        }
    )


def test_an_ordinary_network_has_nothing() -> None:
    assert scan(network()) == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"variance": [1, 70000, 1]}, ("bn", "variance", "overflows", (1,), 70000.0)),
        ({"variance": [1, 1, 1e-9]}, ("bn", "variance", "flushes to 0", (2,), 1e-9)),
        ({"variance": [1e-5, 1, 1e-5]}, ("bn", "variance", "loses bits", (0, 2), 1e-5)),
        ({"mean": [-70000, 0, 0], "variance": [6e4] * 3}, ("bn", "mean", "overflows", (0,), 70000.0)),
        ({"gamma": [1, 1e5, 1]}, ("scale", "gamma", "overflows", (1,), 1e5)),
        ({"eps": "1e-8"}, ("bn", "epsilon", "flushes to 0", (0,), 1e-8)),
    ],
)
def test_a_value_is_found_by_layer_and_channel(change: dict, wanted: tuple) -> None:
    found = [f for f in scan(network(**change)) if f.form == "as published" and f.kind != "cancels"]
    (one,) = found
    assert (one.layer, one.number, one.kind, one.channels) == wanted[:4]
    assert one.worst == pytest.approx(wanted[4])


def test_a_mean_far_beyond_the_deviation_cancels() -> None:
    (found,) = scan(network(mean=[0, 100, 0]))
    assert found == Finding("bn", "as published", "mean", "cancels", (1,), 3, found.worst)
    assert found.worst == pytest.approx(100 / np.sqrt(1.001))
    assert str(found).startswith("bn: mean cancels in 1 of 3 channels (1): 99.95 standard deviations")


def test_folding_removes_a_large_variance() -> None:
    assert {f.form for f in scan(network(variance=[1, 70000, 1]))} == {"as published"}


def test_folding_can_make_weights_too_large() -> None:
    (found,) = (f for f in scan(network(gamma=[5e4, 1, 1], variance=[0.01, 1, 1])) if f.form == "folded")
    assert (found.layer, found.number, found.kind, found.channels) == ("conv", "weights", "overflows", (0,))
