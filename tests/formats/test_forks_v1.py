"""Files of DeepLab's and CRF-RNN's Caffe, whose layers were still numbered types: names, parameters and holes."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import PrototxtError, ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.oracle import onnx_outputs, seeded_blobs

START = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9 '
CONVOLUTION = (
    'layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" '
    "convolution_param { num_output: 2 kernel_size: 3 pad: 2 hole: 2 } } "
)


def test_a_network_of_deeplab() -> None:
    network = Network.from_text(
        START
        + CONVOLUTION
        + 'layers { name: "interp" type: INTERP bottom: "conv" top: "interp" interp_param { zoom_factor: 2 } } '
        + 'layers { name: "crop" type: PADDING bottom: "interp" top: "crop" '
        + "padding_param { pad_beg: -1 pad_end: -2 } } "
        + 'layers { name: "file" type: MAT_WRITE bottom: "crop" mat_write_param { prefix: "x" } strict_dim: false }'
    )
    assert [node.layer.type for node in network.nodes[1:]] == ["Convolution", "Interp", "Padding", "MatWrite"]
    assert network.shape("conv") == (1, 2, 9, 9)
    assert network.shape("interp") == (1, 2, 17, 17)
    assert network.shape("crop") == (1, 2, 14, 14)


def test_a_hole_is_a_dilation() -> None:
    network = Network.from_text(START + CONVOLUTION)
    blobs = seeded_blobs(network.nodes[-1].blob_shapes)
    x = {"data": np.random.default_rng(0).uniform(-1, 1, (1, 3, 9, 9)).astype(np.float32)}
    plain = network.nodes[-1].layer.plain(network.nodes[-1].bottom_shapes)
    assert plain is not None
    assert list(plain.layers[0].convolution_param.dilation) == [2, 2]
    again = CONVOLUTION.replace("hole", "dilation")
    found, wanted = (
        onnx_outputs(to_onnx(Network.from_text(text).with_weights({"conv": blobs})), x)["onnxruntime"]["conv"]
        for text in (START + CONVOLUTION, START + again)
    )
    np.testing.assert_array_equal(found, wanted)


def test_a_hole_beside_a_dilation_is_refused() -> None:
    with pytest.raises(ShapeError, match="excludes dilation"):
        Network.from_text(START + CONVOLUTION.replace("hole: 2", "hole: 2 dilation: 2"))


def test_parameters_that_caffe_never_had_reach_their_layer() -> None:
    layer = (
        'layers { name: "crf" type: MULTI_STAGE_MEANFIELD bottom: "data" bottom: "data" bottom: "data" top: "y" '
        "blobs_lr: 1 multi_stage_meanfield_param { num_iterations: 5 %s: 2 theta_beta: 3 theta_gamma: 3 } }"
    )
    network = Network.from_text(START + layer % "theta_alpha")
    assert network.nodes[-1].layer.param.num_iterations == 5
    with pytest.raises(ShapeError, match="no field 'theta_alfa'"):
        Network.from_text(START + layer % "theta_alfa")


def test_a_stray_message_is_refused() -> None:
    with pytest.raises(PrototxtError, match="no field 'padding_params'"):
        Network.from_text(
            START + 'layers { name: "p" type: PADDING bottom: "data" top: "y" padding_params { pad_beg: 1 } }'
        )
