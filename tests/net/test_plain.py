"""The plain-BVLC form: forks' layers gone, names and outputs kept."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from caffezoo.errors import LoweringError
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.net.plain import to_plain
from tests.oracle import caffe_outputs

FORKED = """
layer { name: "source" type: "MemoryData" top: "data" top: "label"
        memory_data_param { batch_size: 2 channels: 4 height: 9 width: 9 } }
layer { name: "dw" type: "ConvolutionDepthwise" bottom: "data" top: "dw"
        convolution_param { kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "six" type: "Clip" bottom: "dw" top: "dw" clip_param { min: 0 max: 6 } }
layer { name: "pool" type: "Pooling" bottom: "dw" top: "pool"
        pooling_param { kernel_size: 2 stride: 2 ceil_mode: false } }
layer { name: "gate" type: "Pooling" bottom: "pool" top: "gate" pooling_param { pool: AVE global_pooling: true } }
layer { name: "axpy" type: "Axpy" bottom: "gate" bottom: "pool" bottom: "pool" top: "axpy" }
layer { name: "quiet" type: "Silence" bottom: "label" }
"""


def test_forks_layers_become_bvlc_layers_and_everything_else_stays() -> None:
    net = Network.from_text(FORKED)
    net = net.with_weights({"dw": [np.ones((4, 1, 3, 3), np.float32)]})
    plain = to_plain(net)
    types = {n.layer.type for n in plain.nodes}
    assert not types & {"ConvolutionDepthwise", "Clip", "Axpy", "MemoryData"}
    assert not any(n.layer.proto.pooling_param.HasField("ceil_mode") for n in plain.nodes)
    assert plain.outputs == net.outputs
    assert [plain.shape(name) for name in plain.outputs] == [net.shape(name) for name in net.outputs]
    assert plain.weights["dw"][0] is net.weights["dw"][0]
    assert plain.inputs == {"data": (2, 4, 9, 9), "label": (2,)}


def test_the_plain_form_is_a_fixed_point() -> None:
    once = to_plain(Network.from_text(FORKED))
    assert [n.layer.proto for n in to_plain(once).nodes] == [n.layer.proto for n in once.nodes]


def test_input_layers_carry_the_shape_that_the_network_runs_at() -> None:
    net = Network.from_text(FORKED).reshaped({"data": (1, 4, 21, 21), "label": (1,)})
    first = to_plain(net).nodes[0].layer.proto
    assert first.type == "Input"
    assert [list(s.dim) for s in first.input_param.shape] == [[1, 4, 21, 21], [1]]


@pytest.mark.parametrize(
    "layer",
    [
        'type: "Swish" swish_param { beta: 1.5 }',
        'type: "ShuffleChannel" shuffle_channel_param { group: 2 }',
        'type: "Normalize" norm_param { across_spatial: false channel_shared: true }',
        'type: "Clip" clip_param { min: -0.5 max: 0.5 }',
    ],
)
@pytest.mark.parametrize("place", ["input", "middle", "output"])
@pytest.mark.oracle
def test_an_in_place_layer_that_becomes_several_is_given_room(layer: str, place: str) -> None:
    text = 'input: "x" input_shape { dim: 2 dim: 4 dim: 5 dim: 5 }\n'
    relu = 'layer { name: "%s" type: "TanH" bottom: "%s" top: "%s" }\n'
    if place != "input":
        text += relu % ("first", "x", "c")
    blob = "x" if place == "input" else "c"
    text += f'layer {{ name: "in_place" {layer} bottom: "{blob}" top: "{blob}" }}\n'
    if place != "output":
        text += relu % ("second", blob, blob) + relu % ("third", blob, "out")
    net = Network.from_text(text)
    net = net.with_weights({n.name: [np.full(s, 2, np.float32) for s in n.blob_shapes] for n in net.nodes})
    plain = to_plain(net)
    assert plain.outputs == net.outputs
    assert plain.inputs == net.inputs
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 5)).astype(np.float32)
    caffe = caffe_outputs(write_prototxt(plain.prototxt.net), {k: list(v) for k, v in plain.weights.items()}, {"x": x})
    session = onnxruntime.InferenceSession(to_onnx(net).SerializeToString(), providers=["CPUExecutionProvider"])
    (have,) = session.run(None, {"x": x})
    np.testing.assert_allclose(have, caffe[net.outputs[0]], atol=1e-5)


def test_an_output_of_an_inputs_name_is_refused_where_it_would_have_to_be_renamed() -> None:
    text = (
        'input: "x" input_shape { dim: 1 dim: 4 dim: 2 dim: 2 } layer { name: "s" type: "Swish" bottom: "x" top: "x" }'
    )
    with pytest.raises(LoweringError, match="output 'x' has the name of an input"):
        to_plain(Network.from_text(text))
