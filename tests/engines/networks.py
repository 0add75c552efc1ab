"""Small networks that the engines' tests run."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from caffezoo.engines.seeding import seeded_weights
from caffezoo.net.graph import Network

requires_torch = pytest.mark.skipif(find_spec("torch") is None, reason="no torch: pip install 'caffezoo[torch]'")

HERE = tuple(name for name in ("openvino", "onnxruntime", "torch") if name != "torch" or find_spec("torch"))
"""Engines that this Python has: the locked requirements hold no PyTorch."""

SMALL = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 11 dim: 9 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 2 bias_term: false } }
layer { name: "conv1/bn" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "conv1/scale" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "conv1/relu" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool" type: "Pooling" bottom: "conv1" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""

TWO_INPUTS = """
layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
"""


def small_network(batch: int = 1) -> Network:
    """Return a convolution, its batch norm, a pooling and a classifier of five classes, with weights."""
    network = Network.from_text(SMALL)
    return network.with_weights(seeded_weights(network)[0]).reshaped(batch=batch)


def two_inputs() -> Network:
    """Return a sum of two inputs (N, 4)."""
    return Network.from_text(TWO_INPUTS)
