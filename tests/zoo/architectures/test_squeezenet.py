"""SqueezeNet 1.0 and 1.1 against SqueezeNet's deploy files."""

import pytest

from tests.zoo.architectures.generated import Published, assert_as_published, edges, generated, output_shape

PUBLISHED = {
    "squeezenet-v1.0": Published(1_248_424, 861_339_936, "50e998ecab7133e9"),
    "squeezenet-v1.1": Published(1_235_496, 387_747_520, "0ca832be92836b29"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_published(name: str) -> None:
    net = generated("squeezenet", name)
    assert_as_published(net, PUBLISHED[name])
    assert output_shape(net) == (1, 1000, 1, 1)


def test_maps() -> None:
    assert edges(generated("squeezenet", "squeezenet-v1.0"), "pool1", "pool4", "pool8", "conv10") == [55, 27, 13, 15]
    assert edges(generated("squeezenet", "squeezenet-v1.1"), "pool1", "pool3", "pool5", "conv10") == [56, 28, 14, 14]


@pytest.mark.parametrize("size", [48, 320])
@pytest.mark.parametrize("name", PUBLISHED)
def test_any_size_aligns(name: str, size: int) -> None:
    assert output_shape(generated("squeezenet", name, size)) == (1, 1000, 1, 1)
