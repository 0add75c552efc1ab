"""Depth against the counts in the networks' own names and papers."""

import pytest

from caffezoo.net.graph import Network
from caffezoo.report.depth import network_depth
from caffezoo.zoo.index import load_index


@pytest.mark.parametrize(
    ("name", "depth"),
    [("alexnet", 8), ("vgg16", 16), ("googlenet", 22), ("resnet50", 50), ("resnet152", 152), ("densenet121", 121)],
)
def test_depth_is_the_number_in_the_name(name: str, depth: int) -> None:
    assert network_depth(Network.load(load_index().network(name).prototxt_path)) == depth


def test_in_place_layers_and_parallel_branches() -> None:
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 3, 8, 8] } } }
    layer { name: "a" type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 4 kernel_size: 1 } }
    layer { name: "s" type: "Scale" bottom: "a" top: "a" }
    layer { name: "r" type: "ReLU" bottom: "a" top: "a" }
    layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 4 kernel_size: 1 } }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 1 } }
    layer { name: "e" type: "Eltwise" bottom: "b" bottom: "c" top: "e" }
    """
    assert network_depth(Network.from_text(text)) == 2


def test_a_network_without_weights_has_no_depth() -> None:
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 3, 8, 8] } } }'
    assert network_depth(Network.from_text(text)) == 0
