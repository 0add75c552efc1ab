"""Input and the data layers."""

from __future__ import annotations

import pytest

from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.registry import make_layer
from tests.oracle import layer_proto


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ('type: "Input" top: "a" input_param { shape { dim: 2 dim: 3 } }', [(2, 3)]),
        ('type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 3 } }', [(2, 3), (2, 3)]),
        ('type: "Input" top: "a" top: "b" input_param { shape { dim: 2 } shape { dim: 3 } }', [(2,), (3,)]),
        (
            'type: "Data" top: "a" top: "b" data_param { batch_size: 8 } transform_param { crop_size: 227 }',
            [(8, 3, 227, 227), (8,)],
        ),
        (
            'type: "Data" top: "a" data_param { batch_size: 8 } transform_param { crop_size: 28 force_gray: true }',
            [(8, 1, 28, 28)],
        ),
        (
            'type: "ImageData" top: "a" top: "b" image_data_param { batch_size: 4 new_height: 20 new_width: 30 }',
            [(4, 3, 20, 30), (4,)],
        ),
        (
            'type: "WindowData" top: "a" top: "b" window_data_param { batch_size: 4 } transform_param { crop_size: 9 }',
            [(4, 3, 9, 9), (4,)],
        ),
        (
            'type: "MemoryData" top: "a" top: "b" memory_data_param { batch_size: 5 channels: 1 height: 6 width: 7 }',
            [(5, 1, 6, 7), (5,)],
        ),
        (
            'type: "MemoryData" top: "a" top: "b" memory_data_param { dim: 2 dim: 1 dim: 9 dim: 8 dim: 7 }',
            [(2, 1, 9, 8, 7), (2,)],
        ),
        (
            'type: "DenseImageData" top: "a" top: "b" '
            "dense_image_data_param { batch_size: 4 new_height: 6 new_width: 8 }",
            [(4, 3, 6, 8), (4, 1, 6, 8)],
        ),
        (
            'type: "ImageSegData" top: "a" top: "b" top: "c" transform_param { crop_size: 7 } '
            "image_data_param { batch_size: 2 label_type: PIXEL }",
            [(2, 3, 7, 7), (2, 1, 7, 7), (2, 1, 1, 2)],
        ),
        (
            'type: "ImageSegData" top: "a" top: "b" top: "c" transform_param { crop_size: 7 } '
            "image_data_param { batch_size: 2 label_type: NONE is_color: false }",
            [(2, 1, 7, 7), (2, 1, 1, 1), (2, 1, 1, 2)],
        ),
        (
            'type: "VideoData" top: "a" data_param { batch_size: 1 } video_data_param { video_file: "v.mp4" } '
            "transform_param { resize_param { height: 30 width: 40 } }",
            [(1, 3, 30, 40)],
        ),
        ('type: "DummyData" top: "a" dummy_data_param { shape { dim: 2 dim: 3 } }', [(2, 3)]),
        (
            'type: "DummyData" top: "a" top: "b" '
            "dummy_data_param { num: 2 channels: 3 channels: 1 height: 4 height: 1 width: 5 width: 1 }",
            [(2, 3, 4, 5), (2, 1, 1, 1)],
        ),
    ],
)
def test_shapes(text: str, shapes: list[tuple[int, ...]]) -> None:
    layer = make_layer(layer_proto(f'name: "data" {text}'))
    assert layer.is_input
    assert layer.top_shapes([]) == shapes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('type: "Input" top: "a"', "has no shape"),
        ('type: "Input" top: "a" input_param { shape { dim: 2 } shape { dim: 3 } }', "takes one shape, or one a top"),
        ('type: "Input" top: "a" input_param { shape { dim: 0 } }', "axis below 1"),
        ('type: "Input" top: "a" bottom: "b"', r"takes 0 bottom\(s\), has 1"),
        ('type: "Data" top: "a" data_param { batch_size: 8 }', "how large its images are"),
        ('type: "Data" top: "a" transform_param { crop_size: 8 }', "batch_size must be positive"),
        ('type: "ImageData" top: "a" top: "b" image_data_param { new_height: 8 }', "both new_height and new_width"),
        ('type: "MemoryData" top: "a" top: "b"', "must be given and positive"),
        ('type: "DummyData" top: "a"', "has no shape"),
        ('type: "DummyData" top: "a" dummy_data_param { num: 1 shape { dim: 1 } }', "exclude each other"),
        ('type: "DummyData" top: "a" dummy_data_param { num: 1 }', "each be given once"),
        ('type: "VideoData" top: "a" video_data_param { source: "clips.txt" }', "how large its clips are.*--shape a="),
        ('type: "DenseImageData" top: "a" dense_image_data_param { new_width: 8 }', "both new_height and new_width"),
        ('type: "HDF5Data" top: "a"', "say all: --shape a=1,3,224,224"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        make_layer(layer_proto(f'name: "data" {text}')).top_shapes([])


def test_a_data_layer_is_an_input_of_the_network() -> None:
    net = Network.from_text("""
        layer { name: "data" type: "Data" top: "data" top: "label" data_param { batch_size: 8 }
                transform_param { crop_size: 32 } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
                convolution_param { num_output: 4 kernel_size: 3 } }""")
    assert net.inputs == {"data": (8, 3, 32, 32), "label": (8,)}
    assert net.shape("conv") == (8, 4, 30, 30)


def test_a_data_layer_with_more_tops_than_it_makes_is_an_input_where_all_are_given() -> None:
    text = """
        layer { name: "data" type: "Data" top: "data" top: "label" top: "id" data_param { batch_size: 8 } }
        layer { name: "relu" type: "ReLU" bottom: "data" top: "y" }"""
    with pytest.raises(ShapeError, match=r"has 3; .*--shape data=1,3,224,224 --shape label=1 --shape id=1"):
        Network.from_text(text)
    shapes = {"data": (2, 3, 8, 8), "label": (2,), "id": (2,)}
    assert Network.from_text(text, inputs=shapes).inputs == shapes


@pytest.mark.parametrize("kind", ["DenseImageData", "ImageSegData"])
def test_label_images_follow_the_shape_of_the_images(kind: str) -> None:
    net = Network.from_text(
        f'layer {{ name: "data" type: "{kind}" top: "data" top: "label" }}'
        'layer { name: "l" type: "Eltwise" bottom: "label" bottom: "label" top: "y" }',
        inputs={"data": (2, 3, 5, 6)},
    )
    assert net.inputs == {"data": (2, 3, 5, 6), "label": (2, 1, 5, 6)}
