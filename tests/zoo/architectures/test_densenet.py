"""DenseNet's generators against the published files: caffe-model cls/densenet and DenseNet-Caffe."""

import pytest

from tests.zoo.architectures.generated import Published, assert_as_published, edges, generated, output_shape

PUBLISHED = {
    "densenet121": Published(8_062_625, 2_834_161_664, "58d8ede6adc91fd7"),
    "densenet201": Published(20_243_185, 4_291_365_888, "8a817046daca0cb5"),
    "densenet121-shicai": Published(8_062_625, 2_834_161_664, "b6068b8b4ad799cf"),
    "densenet161-shicai": Published(28_901_097, 7_727_907_072, "3705f4c61b36aa81"),
    "densenet169-shicai": Published(14_308_049, 3_359_843_328, "12df1b1a6183a4f9"),
    "densenet201-shicai": Published(20_243_185, 4_291_365_888, "8e6bef71d9664194"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_published(name: str) -> None:
    net = generated("densenet", name)
    assert_as_published(net, PUBLISHED[name])
    assert output_shape(net) == ((1, 1000, 1, 1) if name.endswith("shicai") else (1, 1000))
    assert net.outputs == (("fc6",) if name.endswith("shicai") else ("prob",))


def test_maps_halve_at_each_transition() -> None:
    assert edges(generated("densenet", "densenet121"), "conv1", "pool1", "pool2", "pool3", "pool4") == [
        112, 56, 28, 14, 7,
    ]  # fmt: skip


def test_both_namings_own_the_same_blobs_in_the_same_order() -> None:
    one, other = generated("densenet", "densenet201"), generated("densenet", "densenet201-shicai")
    blobs = [[node.blob_shapes for node in net.nodes if node.blob_shapes] for net in (one, other)]
    assert blobs[0] == blobs[1]
    assert len({n.name for n in one.nodes if n.blob_shapes} & {n.name for n in other.nodes if n.blob_shapes}) == 1


@pytest.mark.parametrize("size", [33, 227, 320])
def test_any_size_aligns(size: int) -> None:
    assert output_shape(generated("densenet", "densenet121", size)) == (1, 1000)
