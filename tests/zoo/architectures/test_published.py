"""Every network of these families against what is known of its published file."""

from __future__ import annotations

import pytest

from caffezoo.zoo.architectures.registry import architectures
from tests.zoo.architectures.arithmetic import graph_digest, survey
from tests.zoo.architectures.published import PUBLISHED

FAMILIES = ("resnet", "resnet-v2", "resnext", "wide-resnet", "air", "dpn", "senet", "inception", "xception")


def build(name: str):
    return next(a.build() for a in architectures().values() if a.name == name).net


def test_every_network_of_the_families_is_known() -> None:
    assert {a.name for a in architectures().values() if a.path.split("/")[1] in FAMILIES} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_published(name: str) -> None:
    known, net = PUBLISHED[name], build(name)
    found = survey(net, known.size)
    assert found.parameters == known.parameters
    assert found.macs == known.macs
    assert found.weight_digest() == known.weights
    assert known.graph in (None, graph_digest(net))


@pytest.mark.parametrize("name", PUBLISHED)
def test_ends_in_prob_over_1000_classes(name: str) -> None:
    net = build(name)
    shape = survey(net).shapes["prob"]
    assert net.layer[-1].type == "Softmax"
    assert shape[:2] == (1, 1000)
    assert set(shape[2:]) <= {1}


@pytest.mark.parametrize("name", PUBLISHED)
def test_layer_names_are_unique_and_blobs_written_before_read(name: str) -> None:
    net = build(name)
    names = [layer.name for layer in net.layer]
    assert len(set(names)) == len(names)
    written: set[str] = set()
    for layer in net.layer:
        assert set(layer.bottom) <= written, layer.name
        written.update(layer.top)
