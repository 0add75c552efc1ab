"""Cost: definitions by formula."""

from __future__ import annotations

from caffezoo.net.cost import Cost, network_cost, node_cost
from caffezoo.net.graph import Network

NET = Network.from_text("""
name: "n" input: "data" input_shape { dim: 5 dim: 3 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 6 kernel_size: 3 group: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 2 } }
""")  # fmt: skip


def test_a_network_is_costed_for_one_image() -> None:
    conv, fc = 6 * 1 * 9 + 6, 2 * 216 + 2
    assert network_cost(NET) == Cost(
        parameters=conv + 12 + 12 + fc,
        blob_elements=conv + 13 + 12 + fc,
        macs=6 * 36 * 9 + 2 * 216,
        activations=6 * 36 + 2,
    )


def test_batch_norm_counts_two_values_a_channel_and_stores_one_more() -> None:
    cost = node_cost(NET.node("bn"))
    assert (cost.parameters, cost.blob_elements, cost.macs, cost.activations) == (12, 13, 0, 0)


def test_the_caffemodel_takes_four_bytes_a_stored_value() -> None:
    assert network_cost(NET).caffemodel_bytes == 4 * network_cost(NET).blob_elements
