"""Parameters of types that caffe.proto lacks: what a class reads of them, and what it refuses."""

from __future__ import annotations

import pickle

import pytest

from caffezoo.errors import PrototxtError, ShapeError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.registry import make_layer


def layer(text: str, kind: str = "Local"):
    return make_layer(
        parse_prototxt(f'layer {{ name: "l" type: "{kind}" bottom: "x" top: "y" {text} }}').net.layer[0], "f.prototxt:1"
    )


def test_what_is_not_given_has_its_default() -> None:
    param = layer("").param
    assert (param.num_output, param.stride, param.bias_term) == (0, 1, True)
    assert param.weight_filler == pb.FillerParameter()
    assert layer("", "Pad").param.pad_h is None


def test_what_is_given_has_the_fields_type() -> None:
    text = 'local_param { num_output: 3 bias_term: false weight_filler { type: "msra" variance_norm: FAN_OUT } }'
    found = layer(text)
    assert found.param.num_output == 3
    assert found.param.bias_term is False
    assert found.fillers(1)[0].variance_norm == pb.FillerParameter.FAN_OUT
    again = pickle.loads(pickle.dumps(found))
    assert again.param == found.param


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("local_param { num_outputs: 3 }", "has no field 'num_outputs'"),
        ("local_param { num_output: 3.5 }", "must be a whole number"),
        ("local_param { num_output: true }", "must be a whole number"),
        ("local_param { bias_term: 2 }", "must be true or false"),
        ("local_param { num_output: 3 num_output: 4 }", "must be a whole number"),
        ("local_param { weight_filler { kind: 3 } }", "is no filler"),
        ("local_param { } local_param { }", "is one message"),
    ],
)
def test_what_the_message_cannot_hold_is_refused(text: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        layer(text)


def test_a_message_of_another_layer_is_refused_in_a_file() -> None:
    start = 'input: "x" input_shape { dim: 1 dim: 2 dim: 3 dim: 3 } '
    body = 'layer { name: "l" type: "Pad" bottom: "x" top: "y" %s { pad: 1 } }'
    assert Network.from_text(start + body % "pad_param").nodes[-1].top_shapes == ((1, 2, 5, 5),)
    with pytest.raises(PrototxtError, match="no field 'pads_param'"):
        Network.from_text(start + body % "pads_param")
