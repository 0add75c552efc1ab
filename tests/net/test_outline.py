"""What is known of a network with layers of unknown types."""

from __future__ import annotations

from caffezoo.formats.phases import filter_net
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.net.drawing import draw_dot, draw_svg
from caffezoo.net.outline import UNKNOWN, Outline, outline, shape_text

TEXT = """
layer { name: "data" type: "Wondrous" top: "data" top: "label" }
layer { name: "image" type: "Input" top: "image" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "image" top: "conv"
        convolution_param { num_output: 6 kernel_size: 5 } }
layer { name: "wonder" type: "Wonder" bottom: "conv" top: "wonder" }
layer { name: "relu" type: "ReLU" bottom: "wonder" top: "wonder" }
layer { name: "tall" type: "Pooling" bottom: "conv" top: "tall" pooling_param { kernel_size: 9 } }
layer { name: "both" type: "Eltwise" bottom: "conv" bottom: "wonder" top: "both" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "both" bottom: "label" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
"""


def _outline(shapes: dict[str, tuple[int, ...]] | None = None) -> Outline:
    return outline(filter_net(parse_prototxt(TEXT, "net.prototxt")), shapes)


def test_what_hangs_on_no_unknown_layer_has_its_shapes() -> None:
    found = _outline()
    assert {n.name: [shape_text(s) for s in n.top_shapes] for n in found.nodes} == {
        "data": ["?", "?"],
        "image": ["1x3x8x8"],
        "conv": ["1x6x4x4"],
        "wonder": ["?"],
        "relu": ["?"],
        "tall": ["?"],
        "both": ["?"],
        "loss": [],
        "pool": ["1x6x2x2"],
    }
    assert [n.name for n in found.unshaped] == ["data", "wonder", "relu", "tall", "both", "loss"]
    assert found.nodes[2].parameter_count == 6 * 3 * 25 + 6
    assert found.nodes[6].bottom_shapes == ((1, 6, 4, 4), UNKNOWN)


def test_a_source_of_an_unknown_type_has_the_shapes_that_are_given() -> None:
    found = _outline({"data": (1, 2), "label": (1,)})
    assert found.nodes[0].top_shapes == ((1, 2), (1,))


def test_it_is_drawn() -> None:
    dot = draw_dot(_outline())
    assert 'label="wonder\\nWonder\\n+ ReLU\\n?"' in dot
    assert '[label="?"]' in dot
    assert "Wonder" in draw_svg(_outline())
