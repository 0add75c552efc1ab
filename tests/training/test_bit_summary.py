"""Sizes by precision: the study's figures, met exactly."""

from __future__ import annotations

import pytest

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import read_prototxt
from caffezoo.net.graph import Network
from caffezoo.training.bit_summary import BitSummary, bit_summary
from caffezoo.training.rewriting import weighted
from caffezoo.zoo.resources import data_path


def study(name: str, *, biased: tuple[str, ...] | None = None) -> tuple[Network, list[str]]:
    """Return a network of the study and its layers of weights; ``biased``: only those keep their bias."""
    net = pb.NetParameter()
    net.CopyFrom(read_prototxt(data_path(f"prototxt/study/deploy_{name}.prototxt", wanted_by="test")).net)
    names = []
    for layer, param in weighted(net.layer):
        names.append(layer.name)
        if biased is not None and layer.name not in biased:
            param.bias_term = False
    return Network.from_proto(net), names


def binary(
    network: Network, names: list[str], real_input: tuple[str, ...] = (), real: tuple[str, ...] = ()
) -> BitSummary:
    bits = {name: 1 for name in names if name not in real}
    return bit_summary(network, bits, {name: 1 for name in names if name not in (*real_input, *real)})


def test_the_studys_alexnet_at_full_precision():
    network, _ = study("study-alexnet")
    found = bit_summary(network, {}, {})
    assert found.parameters == {32: 143_233_410}
    assert found.memory_bytes / 2**20 == pytest.approx(546.39, abs=0.005)


def test_the_studys_binary_alexnet():
    """Its layout: every weight binary, the first input real, biases only in the hidden inner products."""
    network, names = study("study-alexnet", biased=("fc6", "fc7", "fc8"))
    found = binary(network, names, real_input=("conv1",))
    assert found.parameters == {1: 143_214_624, 32: 17_408}
    assert round(found.memory_bytes / 1024, 2) == 17550.25
    assert round(found.memory_bytes / 2**20, 2) == 17.14
    assert found.macs == {1: 1_110_687_744, 32: 105_415_200}


def test_the_studys_8_bit_alexnet():
    network, names = study("study-alexnet", biased=())
    found = bit_summary(network, dict.fromkeys(names, 8), dict.fromkeys(names[1:], 8))
    assert found.parameters == {8: 143_214_624}
    assert found.compression == 4


def test_the_studys_googlenet():
    network, names = study("study-googlenet")
    found = bit_summary(network, {}, {})
    assert found.parameters == {32: 5_975_602}
    assert found.memory_bytes / 2**20 == pytest.approx(22.80, abs=0.005)
    real = (names[0], "conv2/3x3_reduce", "conv2/3x3", "classifier")
    assert binary(network, names, real=real).macs == {1: 1_254_041_856, 32: 494_889_728}
