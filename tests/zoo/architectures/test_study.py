"""AlexNet and GoogLeNet of the 8-bit and binary study against the counts that its summaries print."""

import pytest

from caffezoo.net.graph import Network
from caffezoo.zoo.architectures.study import alexnet, googlenet
from tests.zoo.architectures.generated import edges, generated, output_shape


@pytest.mark.parametrize(
    ("name", "parameters", "first_macs", "macs"),
    [
        # The study counts the multiply-adds of what it keeps real apart from the rest: conv1; stem and classifier.
        ("study-alexnet", 143_233_410, 105_415_200, 105_415_200 + 1_110_687_744),
        ("study-googlenet", 5_975_602, 494_889_728 - 2048, 494_889_728 + 1_254_041_856),
    ],
)
def test_counts_are_the_studys(name: str, parameters: int, first_macs: int, macs: int) -> None:
    net = generated("study", name)
    assert sum(node.parameter_count for node in net.nodes) == parameters
    assert sum(node.macs for node in net.nodes) == macs
    stem = ("conv1", "conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3")
    assert sum(node.macs for node in net.nodes if node.name in stem) == first_macs


@pytest.mark.parametrize("build", [alexnet, googlenet])
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_class_count_is_an_argument(build, classes: int) -> None:
    net = Network.from_text(build(classes).to_prototxt())
    assert output_shape(net) == (1, classes)
    assert net.inputs["data"] == (1, 3, 227, 227)


def test_googlenet_pads_its_maxima_as_tensorflow_does() -> None:
    pools = [f"pool{i}/3x3_s2" for i in (1, 2, 3, 4)]
    assert edges(generated("study", "study-googlenet"), "conv1/7x7_s2", *pools) == [114, 57, 29, 15, 8]
