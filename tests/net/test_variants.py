"""Networks made from others: the same function at their own size, a map of it on larger images."""

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_weights
from caffezoo.errors import NetworkError
from caffezoo.net.graph import Network
from caffezoo.net.variants import fully_convolutional, with_other_rounding

HEAD = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 12 dim: 10 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 5 kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""
FLATTENS = """
layer { name: "flat" type: "Flatten" bottom: "conv" top: "flat" }
layer { name: "drop" type: "Dropout" bottom: "flat" top: "flat" }
"""
TAIL = """
layer { name: "fc6" type: "InnerProduct" bottom: "%s" top: "fc6" inner_product_param { num_output: 7 %s } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7" inner_product_param { num_output: 4 } }
layer { name: "prob" type: "Softmax" bottom: "fc7" top: "prob" }
"""


def network(text):
    made = Network.from_text(text)
    return made.with_weights(seeded_weights(made)[0])


def run(net, x):
    with create_engine("openvino", net, batch_size=len(x)) as engine:
        return engine.run(x)["prob"]


@pytest.mark.parametrize(
    "text",
    [
        HEAD + TAIL % ("conv", ""),
        HEAD + TAIL % ("conv", "bias_term: false transpose: true"),
        HEAD + FLATTENS + TAIL % ("flat", ""),
    ],
    ids=["straight", "transposed", "flattened"],
)
def test_inner_products_slide(text):
    own = network(text)
    sliding = fully_convolutional(own)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (2, 3, 12, 10)).astype(np.float32)
    np.testing.assert_allclose(run(sliding, x)[:, :, 0, 0], run(own, x), atol=1e-6)
    # On a larger image each position is the network on the window below it; the stride of the trunk is 2.
    large = rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)
    found = run(sliding.resized(16, 16), large)
    assert found.shape == (1, 4, 3, 4)
    for i in range(3):
        for j in range(4):
            window = np.ascontiguousarray(large[:, :, 2 * i : 2 * i + 12, 2 * j : 2 * j + 10])
            np.testing.assert_allclose(found[:, :, i, j], run(own, np.repeat(window, 2, 0))[:1], atol=1e-5)


def test_without_weights_nothing_slides():
    with pytest.raises(NetworkError, match="it has no weights"):
        fully_convolutional(Network.from_text(HEAD + TAIL % ("conv", "")))


def test_the_other_rounding_is_the_other_and_back():
    window = "pooling_param { kernel_size: 3 stride: 2 }"
    pool = f'layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool" {window} }}'
    shape = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 12 dim: 12 } } }'
    up = Network.from_text(shape + pool)
    down = with_other_rounding(up)
    assert [n.shape("pool")[2:] for n in (up, down, with_other_rounding(down))] == [(6, 6), (5, 5), (6, 6)]
    with pytest.raises(NetworkError, match="no layer of it counts windows"):
        with_other_rounding(Network.from_text(shape))
