"""ShuffleNet v1 and v2 against ShuffleNet's deploy files."""

import pytest

from caffezoo.errors import ZooError
from tests.zoo.architectures.generated import Published, assert_as_published, edges, generated, output_shape

PUBLISHED = {
    "shufflenet-1x-g3": Published(1_838_519, 127_061_304, "25783aad11557e1a"),
    "shufflenet-v2-1x": Published(2_294_840, 144_907_992, "b7b94aa805303826"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_published(name: str) -> None:
    net = generated("shufflenet", name)
    assert_as_published(net, PUBLISHED[name])
    assert output_shape(net) == (1, 1000, 1, 1)
    assert net.outputs == ("fc1000",)


def test_the_average_and_the_convolution_of_a_strided_unit_meet() -> None:
    places = ("resx1_match_conv", "resx1_conv2", "resx5_match_conv", "resx5_conv2", "resx13_match_conv", "resx13_conv2")
    assert edges(generated("shufflenet", "shufflenet-1x-g3"), *places) == [28, 28, 14, 14, 7, 7]


@pytest.mark.parametrize("size", [32, 224, 256, 320])
@pytest.mark.parametrize("name", PUBLISHED)
def test_multiples_of_32_align(name: str, size: int) -> None:
    assert output_shape(generated("shufflenet", name, size)) == (1, 1000, 1, 1)


def test_an_odd_map_breaks_v1() -> None:
    with pytest.raises(ZooError, match="resx"):
        generated("shufflenet", "shufflenet-1x-g3", 240)
