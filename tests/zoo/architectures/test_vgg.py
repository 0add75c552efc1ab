"""VGG's generators against the published files: caffe-model cls/vgg, vgg-caffe (layers, shapes, multiply-adds)."""

import pytest

from caffezoo.errors import ZooError
from tests.zoo.architectures.generated import Published, assert_as_published, edges, generated, output_shape

PUBLISHED = {
    "vgg13-pytorch": Published(133_047_848, 11_308_466_176, "102d1d46311cce6f"),
    "vgg13bn-pytorch": Published(133_059_634, 11_308_466_176, "ca29641527fbf8cb"),
    "vgg16-pytorch": Published(138_357_544, 15_470_264_320, "cd4a8a2097cb261d"),
    "vgg16bn-pytorch": Published(138_374_453, 15_470_264_320, "c42e499dfdc609cd"),
    "vgg19-pytorch": Published(143_667_240, 19_632_062_464, "a8631ddfbb947c2a"),
    "vgg19bn-pytorch": Published(143_689_272, 19_632_062_464, "e2e39debf1351e38"),
    "vgg16-tf": Published(138_357_544, 15_470_264_320, "a818e6383c63c8b9"),
    "vgg16-dsd": Published(138_357_544, 15_470_264_320, "b02abaa0b9a46578"),
    "vgg16-5x": Published(130_879_294, 3_515_283_520, "e62132ebd95e1dc2"),
    "vgg16-3c4x": Published(128_969_184, 3_867_632_720, "6a8b06840972f47f"),
    "vgg16": Published(138_357_544, 15_470_264_320, "b02abaa0b9a46578"),
    "vgg19": Published(143_667_240, 19_632_062_464, "a778ced961e0705f"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_published(name: str) -> None:
    net = generated("vgg", name)
    assert_as_published(net, PUBLISHED[name])
    assert output_shape(net) == (1, 1000)
    assert net.outputs == ("prob",)


def test_stages_halve_the_map() -> None:
    assert edges(generated("vgg", "vgg16"), "pool1", "pool2", "pool3", "pool4", "pool5") == [112, 56, 28, 14, 7]


@pytest.mark.parametrize("name", ["vgg16", "vgg16-tf"])
def test_the_sizes_that_the_header_names_keep_fc6(name: str) -> None:
    weights = [node.blob_shapes for node in generated("vgg", name).nodes]
    for size in (193, 224):
        assert [node.blob_shapes for node in generated("vgg", name, size).nodes] == weights


@pytest.mark.parametrize(("size", "edge"), [(192, 6), (225, 8)])
def test_other_sizes_do_not(size: int, edge: int) -> None:
    assert edges(generated("vgg", "vgg16", size), "pool5") == [edge]


def test_fully_convolutional_form_refuses_a_larger_map_at_its_reshape() -> None:
    with pytest.raises(ZooError, match="reshape"):
        generated("vgg", "vgg16-tf", 320)


def test_batch_norm_follows_each_convolution_of_a_bn_variant() -> None:
    kinds = [node.layer.proto.type for node in generated("vgg", "vgg19bn-pytorch").nodes]
    after = [kinds[i + 1 : i + 4] for i, kind in enumerate(kinds) if kind == "Convolution"]
    assert after == [["BatchNorm", "Scale", "ReLU"]] * 16
