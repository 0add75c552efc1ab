"""Data layers of forks: which shapes their prototxt says, and which the caller must."""

from __future__ import annotations

import pytest

from caffezoo.errors import ShapeError
from caffezoo.net.registry import make_layer
from tests.oracle import layer_proto


@pytest.mark.parametrize(
    ("text", "given", "wanted"),
    [
        (
            'type: "ImageLabelmapData" top: "a" top: "b" image_data_param { new_height: 6 new_width: 8 batch_size: 2 }',
            {},
            [(2, 3, 6, 8), (2, 1, 6, 8)],
        ),
        ('type: "ImageLabelmapData" top: "a" top: "b"', {"a": (1, 3, 5, 4)}, [(1, 3, 5, 4), (1, 1, 5, 4)]),
        (
            'type: "DataHeatmap" top: "a" top: "b" heatmap_data_param { batchsize: 4 outsize: 32 '
            'label_height: 8 label_width: 8 labelinds: "1,2,5,6" cropsize: 30 }',
            {},
            [(4, 3, 32, 32), (4, 2, 8, 8)],
        ),
        (
            'type: "DataHeatmap" top: "a" top: "b" heatmap_data_param { batchsize: 4 outsize: 32 }',
            {"b": (4, 7, 8, 8)},
            [(4, 3, 32, 32), (4, 7, 8, 8)],
        ),
        (
            'type: "CPMData" top: "a" top: "b" cpm_transform_param { stride: 8 num_parts: 56 }',
            {"a": (2, 4, 64, 32)},
            [(2, 4, 64, 32), (2, 114, 8, 4)],
        ),
    ],
)
def test_shapes_of_maps(text: str, given: dict[str, tuple[int, ...]], wanted: list[tuple[int, ...]]) -> None:
    assert make_layer(layer_proto(f'name: "data" {text}')).input_shapes(given) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('type: "DataHeatmap" top: "a" top: "b" heatmap_data_param { batchsize: 4 outsize: 32 }', "shape 'b' has"),
        ('type: "CPMData" top: "a" top: "b"', "shape 'a' has"),
        ('type: "ImageLabelmapData" top: "a" top: "b"', "how large its images are"),
    ],
)
def test_a_shape_that_nothing_says_is_asked_for(text: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        make_layer(layer_proto(f'name: "data" {text}')).input_shapes({})
