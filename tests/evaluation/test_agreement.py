"""Two forms of a network on the same inputs."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import NetworkError
from caffezoo.evaluation.agreement import agreement, common_blobs, drawn_batches
from caffezoo.net.graph import Network

NET = """
input: "data" input_shape { dim: 1 dim: 7 }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 7 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def permuting(order: list[int], gain: float = 1.0) -> Network:
    """Output i is the softmax of input order[i]."""
    weight = np.eye(7, dtype=np.float32)[order] * np.float32(gain)
    return Network.from_text(NET).with_weights({"fc": [weight, np.zeros(7, np.float32)]})


def ramps(count: int) -> list[dict[str, np.ndarray]]:
    """Input 0 is the largest, 6 the smallest."""
    return [{"data": np.tile(np.arange(7, 0, -1, dtype=np.float32), (count, 1))}]


def test_a_network_agrees_with_itself() -> None:
    net = permuting(list(range(7)))
    found = agreement(net, net, drawn_batches(net, 5, 2), batch_size=2)
    assert (found.samples, found.output, found.top1_differs, found.top1_not_in_five) == (5, "prob", 0, 0)
    assert [(b.blob, b.largest) for b in found.blobs] == [("fc", 0.0), ("prob", 0.0)]


def test_disagreement_is_counted() -> None:
    straight = permuting(list(range(7)))
    swapped = agreement(straight, permuting([1, 0, 2, 3, 4, 5, 6]), ramps(3), batch_size=3)
    assert (swapped.top1_differs, swapped.top1_not_in_five) == (3, 0)
    turned = agreement(straight, permuting([6, 5, 4, 3, 2, 1, 0]), ramps(3), batch_size=3)
    assert (turned.top1_differs, turned.top1_not_in_five) == (3, 3)
    assert turned.worst.blob == "prob"
    assert {b.blob: (b.largest, b.scale) for b in turned.blobs}["fc"] == (6.0, 7.0)


def test_ties_are_no_disagreement() -> None:
    flat = permuting(list(range(7)), gain=0.0)
    assert agreement(permuting(list(range(7))), flat, ramps(2), batch_size=2).top1_differs == 0


def test_blobs_of_both() -> None:
    longer = Network.from_text(NET + 'layer { name: "n" type: "TanH" bottom: "prob" top: "n" }')
    assert common_blobs(Network.from_text(NET), longer) == ["fc", "prob"]
    other = Network.from_text(
        'input: "data" input_shape { dim: 1 dim: 7 }\nlayer { name: "n" type: "TanH" bottom: "data" top: "n" }'
    )
    with pytest.raises(NetworkError, match="no blob in common"):
        agreement(Network.from_text(NET), other, [], batch_size=1)
