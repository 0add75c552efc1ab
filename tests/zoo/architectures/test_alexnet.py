"""AlexNet and CaffeNet against BVLC's deploy files."""

import pytest

from tests.zoo.architectures.generated import Published, assert_as_published, edges, generated

PUBLISHED = Published(60_965_224, 724_406_816, "62bda80239094241")


@pytest.mark.parametrize("name", ["alexnet", "caffenet"])
def test_as_published(name: str) -> None:
    assert_as_published(generated("alexnet", name), PUBLISHED)


def test_caffenet_pools_before_it_normalises() -> None:
    order = {name: [n.name for n in generated("alexnet", name).nodes] for name in ("alexnet", "caffenet")}
    assert order["alexnet"].index("norm1") < order["alexnet"].index("pool1")
    assert order["caffenet"].index("pool1") < order["caffenet"].index("norm1")
    assert edges(generated("alexnet", "alexnet"), "norm1", "norm2") == [55, 27]
    assert edges(generated("alexnet", "caffenet"), "norm1", "norm2") == [27, 13]


def test_the_sizes_that_the_header_names_keep_fc6() -> None:
    found = {size: edges(generated("alexnet", "alexnet", size), "pool5")[0] for size in (198, 199, 230, 231)}
    assert found == {198: 5, 199: 6, 230: 6, 231: 7}
