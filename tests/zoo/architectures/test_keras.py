"""Keras' networks against the published table of parameters, Keras' layer names and the sizes in their headers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from caffezoo.zoo.architectures import keras_mobilenet, keras_nasnet, keras_xception
from caffezoo.zoo.architectures.registry import architectures
from caffezoo.zoo.builder import NetBuilder
from tests.zoo.architectures.generated import edges, generated, output_shape

# Keras documentation 2.2/2.3, "Documentation for individual models": a BatchNormalization counts four values a channel,
# three where it has no gamma.
PARAMETERS = {
    "keras-xception": 22_910_480,
    "keras-vgg16": 138_357_544,
    "keras-vgg19": 143_667_240,
    "keras-resnet50-v0.2": 25_636_712,
    "keras-resnet50": 25_636_712,
    "keras-resnet101": 44_707_176,
    "keras-resnet152": 60_419_944,
    "keras-resnet50v2": 25_613_800,
    "keras-resnet101v2": 44_675_560,
    "keras-resnet152v2": 60_380_648,
    "keras-resnext50": 25_097_128,
    "keras-resnext101": 44_315_560,
    "keras-inception-v3": 23_851_784,
    "keras-inception-resnet-v2": 55_873_736,
    "keras-mobilenet-1.0": 4_253_864,
    "keras-mobilenet-v2": 3_538_984,
    "keras-densenet121": 8_062_504,
    "keras-densenet169": 14_307_880,
    "keras-densenet201": 20_242_984,
    "keras-nasnet-mobile": 5_326_716,
    "keras-nasnet-large": 88_949_818,
}
# SqueezeNet: as Caffe's v1.1. MobileNet: its own table, million parameters.
SQUEEZENET_PARAMETERS = 1_235_496
MOBILENET_MILLIONS = {"0.75": 2.6, "0.5": 1.3, "0.25": 0.5}
PRESETS = {
    **dict.fromkeys(("keras-xception", "keras-inception-v3", "keras-inception-resnet-v2"), 299),
    "keras-nasnet-large": 331,
    "keras-squeezenet-v1.1": 227,
}
NAMES = [a.name for a in architectures().values() if a.path.startswith("prototxt/keras/")]


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_of_the_published_table(name: str) -> None:
    assert sum(node.parameter_count for node in generated("keras", name).nodes) == PARAMETERS[name]


def test_parameters_of_squeezenet_and_of_the_narrow_mobilenets() -> None:
    squeezenet = generated("keras", "keras-squeezenet-v1.1")
    assert sum(node.parameter_count for node in squeezenet.nodes) == SQUEEZENET_PARAMETERS
    for alpha, millions in MOBILENET_MILLIONS.items():
        count = sum(node.parameter_count for node in generated("keras", f"keras-mobilenet-{alpha}").nodes)
        assert round(count / 1e6, 1) == millions


@pytest.mark.parametrize("name", NAMES)
def test_reads_an_image_and_ends_in_prob(name: str) -> None:
    net = generated("keras", name)
    size = PRESETS.get(name, 224)
    assert net.inputs == {"data": (1, 3, size, size)}
    assert net.outputs == ("prob",)
    assert output_shape(net) == (1, 1000)


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        # Millions, as the papers print them: arXiv 1707.07012, 1801.04381, 1704.04861.
        ("keras-nasnet-mobile", 564),
        ("keras-nasnet-large", 23_800),
        ("keras-mobilenet-v2", 300),
        ("keras-mobilenet-1.0", 569),
        ("keras-mobilenet-0.5", 149),
    ],
)
def test_multiply_adds_are_the_papers(name: str, macs: float) -> None:
    found = sum(node.macs for node in generated("keras", name).nodes) / 1e6
    assert found == pytest.approx(macs, rel=6e-3)  # what a sliced-off row and column cost stands inside


NASNET_MOBILE = partial(keras_nasnet.nasnet, keras_nasnet.MOBILE)
NASNET_LARGE = partial(keras_nasnet.nasnet, keras_nasnet.LARGE)


@pytest.mark.parametrize(
    ("build", "preset", "exact", "inexact"),
    [
        (keras_xception.xception, 299, (331, 363, 395, 300), (224, 320)),
        (partial(keras_mobilenet.mobilenet, 1.0), 224, (128, 160, 192, 320), (227, 240)),
        (keras_mobilenet.mobilenet_v2, 224, (96, 128, 320), (227, 240)),
        (NASNET_MOBILE, 224, (192, 223, 320), (225, 240)),
        (NASNET_LARGE, 331, (299, 332, 395), (224, 320)),
    ],
    ids=["xception", "mobilenet", "mobilenet-v2", "nasnet-mobile", "nasnet-large"],
)
def test_one_graph_is_exact_at_the_sizes_that_the_header_names(
    build: Callable[..., NetBuilder], preset: int, exact: tuple[int, ...], inexact: tuple[int, ...]
) -> None:
    def arithmetic(size_px: int) -> list[tuple[str, bytes]]:
        """Types and parameters of all layers behind the input: what a graph computes, map sizes aside."""
        layers = []
        for layer in build(size_px=size_px).net.layer[1:]:
            bare = type(layer)()
            bare.CopyFrom(layer)
            for field in ("name", "bottom", "top"):  # correction maps are named after their size
                bare.ClearField(field)
            layers.append((layer.type, bare.SerializeToString(deterministic=True)))
        return layers

    wanted = arithmetic(preset)
    assert [size for size in (*exact, *inexact) if arithmetic(size) == wanted] == list(exact)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("keras-resnet50", 195),
        ("keras-resnet50v2", 320),
        ("keras-resnet50v2", 223),
        ("keras-inception-v3", 224),
        ("keras-inception-resnet-v2", 320),
        ("keras-densenet121", 225),
        ("keras-xception", 395),
        ("keras-nasnet-mobile", 320),
        ("keras-nasnet-large", 299),
        ("keras-mobilenet-0.25", 128),
        ("keras-squeezenet-v1.1", 320),
    ],
)
def test_other_sizes_align(name: str, size: int) -> None:
    assert output_shape(generated("keras", name, size)) == (1, 1000)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("keras-vgg19", {"block5_conv4": 14, "block5_pool": 7}),
        ("keras-resnet50-v0.2", {"conv1": 112, "pool1": 55, "res3a_branch2a": 28, "res5c": 7}),
        ("keras-resnet50", {"pool1_pool": 56, "conv3_block1_1_conv": 28, "conv5_block3_out": 7}),
        ("keras-resnet50v2", {"conv2_block3_0_pool": 28, "conv4_block6_2_conv": 7, "conv5_block3_out": 7}),
        ("keras-resnext50", {"conv3_block1_1_conv": 56, "conv3_block1_2_conv": 28}),
        ("keras-inception-v3", {"mixed2": 35, "mixed7": 17, "mixed10": 8}),
        ("keras-inception-resnet-v2", {"mixed_5b": 35, "block17_20": 17, "conv_7b": 8}),
        ("keras-xception", {"block2_pool": 74, "block3_pool": 37, "block4_pool": 19, "block13_pool": 10}),
        ("keras-nasnet-mobile", {"reduction_concat_stem_1": 56, "normal_concat_3": 28, "normal_concat_12": 7}),
        ("keras-nasnet-large", {"reduction_concat_stem_1": 83, "normal_concat_5": 42, "normal_concat_18": 11}),
        ("keras-densenet121", {"conv1/conv": 112, "pool1": 56, "pool4_pool": 7}),
        ("keras-squeezenet-v1.1", {"pool1": 56, "pool3": 27, "pool5": 13}),
    ],
)
def test_maps_have_keras_sizes(name: str, layers: dict[str, int]) -> None:
    assert edges(generated("keras", name), *layers) == list(layers.values())


def test_every_convolution_of_inception_has_its_number() -> None:
    for name, count in (("keras-inception-v3", 94), ("keras-inception-resnet-v2", 203)):
        kinds: dict[str, list[str]] = {}
        for node in generated("keras", name).nodes:
            kinds.setdefault(node.layer.proto.type, []).append(node.name)
        numbered = [n for n in kinds["Convolution"] if n.startswith("conv2d_")]
        assert numbered == [f"conv2d_{i}" for i in range(1, count + 1)]
        assert kinds["Bias"] == [f"{n}_bias" for n in kinds["BatchNorm"]]
        assert "Scale" not in kinds


def test_the_last_residual_of_inception_resnet_is_not_scaled() -> None:
    nodes = [n for n in generated("keras", "keras-inception-resnet-v2").nodes if n.layer.proto.type == "Eltwise"]
    scales = [list(n.layer.proto.eltwise_param.coeff) for n in nodes if n.name.startswith("block")]
    assert [round(s[1], 6) if s else 1 for s in scales] == [0.17] * 10 + [0.1] * 20 + [0.2] * 9 + [1]


def test_nasnet_large_hands_a_reductions_own_predecessor_on() -> None:
    """Behind a reduction cell, Mobile reads the cell before it as ``p``, Large the cell before that one."""
    expected = (("keras-nasnet-mobile", 5, "normal_concat_3_relu"), ("keras-nasnet-large", 7, "normal_concat_4_relu"))
    for name, cell, previous in expected:
        nodes = {n.name: n for n in generated("keras", name).nodes}
        assert nodes[f"adjust_conv_1_{cell}"].bottoms[0].name == previous


def test_nasnet_numbers_its_cells_as_keras_does() -> None:
    names = [n.name for n in generated("keras", "keras-nasnet-mobile").nodes]
    cells = [n.removeprefix("normal_concat_") for n in names if n.startswith("normal_concat_") and "relu" not in n]
    assert cells == [str(i) for i in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12)]
