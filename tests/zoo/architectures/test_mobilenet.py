"""MobileNet v1 and v2 against MobileNet-Caffe's deploy files."""

import pytest

from tests.zoo.architectures.generated import Published, assert_as_published, edges, generated, output_shape

PUBLISHED = {
    "mobilenet-v1-1.0": Published(4_253_891, 568_740_352, "9dccaa6c300deab2"),
    "mobilenet-v2": Published(3_540_189, 429_111_936, "dd5adc3e446a3081"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_published(name: str) -> None:
    net = generated("mobilenet", name)
    assert_as_published(net, PUBLISHED[name])
    assert output_shape(net) == (1, 1000, 1, 1)


def test_v2_strides_one_block_later_than_the_paper() -> None:
    places = [f"conv{place}/dwise" for place in ("2_2", "3_2", "4_3", "4_7", "5_3")]
    assert edges(generated("mobilenet", "mobilenet-v2"), *places) == [56, 28, 28, 14, 7]


def test_v2_adds_where_stride_and_width_allow() -> None:
    added = [n.name for n in generated("mobilenet", "mobilenet-v2").nodes if n.layer.proto.type == "Eltwise"]
    places = ("3_1", "4_1", "4_2", "4_4", "4_5", "4_6", "5_1", "5_2", "6_1", "6_2")
    assert added == [f"block_{place}" for place in places]


@pytest.mark.parametrize("size", [33, 160, 321])
@pytest.mark.parametrize("name", PUBLISHED)
def test_any_size_aligns(name: str, size: int) -> None:
    assert output_shape(generated("mobilenet", name, size)) == (1, 1000, 1, 1)
