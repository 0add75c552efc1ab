"""The phase of a network reaches its layers."""

import numpy as np
import pytest

from caffezoo.errors import LoweringError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 2 dim: 2 } } }
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" }
layer { name: "drop" type: "Dropout" bottom: "bn" top: "drop" %s }
"""


def test_layers_inherit_the_nets_phase():
    for phase in (pb.TRAIN, pb.TEST):
        network = Network.from_text(NET % "", phase=phase)
        assert [node.layer.phase for node in network.nodes] == [phase] * 3
        assert network.node("bn").layer.uses_global_stats == (phase == pb.TEST)


def test_a_layers_own_phase_stands():
    network = Network.from_text(NET % "phase: TEST", phase=pb.TRAIN)
    assert network.node("drop").layer.phase == pb.TEST
    assert network.node("bn").layer.phase == pb.TRAIN


def test_dropout_at_train_has_no_onnx_form():
    network = Network.from_text(NET % "", phase=pb.TRAIN)
    network = network.with_weights({"bn": [np.ones(s, np.float32) for s in ((3,), (3,), (1,))]})
    with pytest.raises(LoweringError, match="Dropout in phase TRAIN"):
        to_onnx(network)
