"""The 95 names of Inception v3, on both of the zoo's networks of that kind."""

from __future__ import annotations

import pytest

from caffezoo.errors import LoweringError
from caffezoo.net.exports.inception3 import inception3_names
from caffezoo.net.graph import Network
from caffezoo.zoo.index import load_index


def plain_products(name: str) -> Network:
    """The network with its batch norms left out: only the order of the layers with weights counts."""
    from caffezoo.engines.seeding import hashed_uniform
    from caffezoo.net.folding import fold

    network = Network.load(load_index().network(name).prototxt_path)
    weights = {n.name: [abs(hashed_uniform("w", s, 97)) + 0.5 for s in n.blob_shapes] for n in network.nodes}
    return fold(network.with_weights(weights)).network


@pytest.mark.parametrize("name", ["inception-v3", "keras-inception-v3"])
def test_the_original_order(name: str) -> None:
    names = inception3_names(plain_products(name))
    assert len(names) == len(set(names)) == 95
    assert names[:9] == (
        *("conv", "conv_1", "conv_2", "conv_3", "conv_4", "mixed_conv", "mixed_tower_conv"),
        *("mixed_tower_conv_1", "mixed_tower_1_conv"),
    )
    assert names[26:30] == ("mixed_3_conv", "mixed_3_tower_conv", "mixed_3_tower_conv_1", "mixed_3_tower_conv_2")
    assert names[-10:] == (
        "mixed_10_conv",
        *(f"mixed_10_tower_{x}" for x in ("conv", "mixed_conv", "mixed_conv_1")),
        *(f"mixed_10_tower_1_{x}" for x in ("conv", "conv_1", "mixed_conv", "mixed_conv_1")),
        *("mixed_10_tower_2_conv", "softmax"),
    )


def test_a_head_of_more_layers_keeps_their_names() -> None:
    names = inception3_names(plain_products("nsfwjs-inception-v3"))
    assert names[:94] == inception3_names(plain_products("keras-inception-v3"))[:94]
    assert names[94:] == ("dense_1", "dense_2", "softmax")


def test_another_network() -> None:
    with pytest.raises(LoweringError, match="no Inception v3 as the names are made for"):
        inception3_names(plain_products("resnet18-priv"))
