"""The network: blob versions, shapes, errors that name file, line and layer."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import NetworkError, PrototxtError, ShapeError, UnknownLayerError, UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.net.layer import BlobId, Layer, layer_types, register

SMALL = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def test_in_place_layers_write_a_new_version_and_readers_get_it() -> None:
    net = Network.from_text(SMALL)
    assert net.node("relu").bottoms == (BlobId("conv", 0),)
    assert net.node("relu").tops == net.node("fc").bottoms == (BlobId("conv", 1),)
    assert net.outputs == ("prob",)


def test_shapes_parameters_and_macs_follow_from_the_prototxt() -> None:
    net = Network.from_text(SMALL)
    assert net.shape("conv") == (1, 4, 3, 3)
    assert net.node("conv").blob_shapes == ((4, 3, 3, 3), (4,))
    assert net.parameter_count == 4 * 27 + 4 + 5 * 36 + 5
    assert net.macs == 4 * 9 * 27 + 5 * 36


def test_reshaping_changes_batch_and_size_and_keeps_the_rest() -> None:
    net = Network.from_text(SMALL.replace("InnerProduct", "ReLU"))
    assert net.reshaped(batch=7).shape("prob")[0] == 7
    assert net.resized(21, 11).inputs == {"data": (1, 3, 21, 11)}
    with pytest.raises(UnknownNameError, match=r"unknown input 'dota'.*did you mean data\?"):
        net.reshaped({"dota": (1, 3, 8, 8)})


def test_with_weights_wants_the_inferred_shapes() -> None:
    net = Network.from_text(SMALL)
    blobs = {n.name: [np.zeros(s, np.float32) for s in n.blob_shapes] for n in net.nodes if n.blob_shapes}
    assert net.with_weights(blobs).weights["fc"][0].shape == (5, 36)
    blobs["fc"][0] = np.zeros((36, 5), np.float32)
    with pytest.raises(NetworkError, match=r"'fc' \(InnerProduct\).*\(5, 36\).*\(36, 5\)"):
        net.with_weights(blobs)


def test_an_unknown_layer_type_names_line_layer_and_near_types() -> None:
    with pytest.raises(UnknownLayerError, match=r"^net.prototxt:4: layer 'conv'.*'Convolutoin'; did you mean Conv"):
        Network.from_text(SMALL.replace('"Convolution"', '"Convolutoin"'), path="net.prototxt")


def test_an_input_too_small_is_refused_with_the_layer() -> None:
    with pytest.raises(ShapeError, match=r"net.prototxt:4: layer 'conv' \(Convolution\)"):
        Network.from_text(SMALL.replace("dim: 8 dim: 8", "dim: 2 dim: 8"), path="net.prototxt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('bottom: "fc"', 'bottom: "fd"', "fd"),
        ('name: "relu"', 'name: "conv"', "conv"),
        ('bottom: "fc" top: "prob"', 'bottom: "fc" top: "conv"', "conv"),
    ],
)
def test_broken_wiring_is_refused_with_a_line(old: str, new: str, message: str) -> None:
    with pytest.raises(PrototxtError, match=rf"net.prototxt:\d+: .*{message}"):
        Network.from_text(SMALL.replace(old, new), path="net.prototxt")


def test_phase_decides_which_layers_are_kept() -> None:
    text = SMALL.replace(
        'layer { name: "prob" type: "Softmax"', 'layer { name: "prob" include { phase: TEST } type: "Softmax"'
    )
    assert Network.from_text(text).outputs == ("prob",)
    assert Network.from_text(text, phase=pb.TRAIN).outputs == ("fc",)


def test_registering_a_type_twice_raises() -> None:
    assert "Convolution" in layer_types()
    with pytest.raises(ValueError, match="registered twice"):
        register("Convolution")(Layer)


def test_every_type_that_a_deploy_prototxt_can_hold_has_a_class() -> None:
    wanted = (
        "Convolution Deconvolution ConvolutionDepthwise DepthwiseConvolution Pooling InnerProduct BatchNorm Scale Bias "
        "LRN Eltwise Axpy Concat Slice Split Flatten Reshape Permute Crop Tile Reduction ArgMax MVN Normalize Softmax "
        "Dropout ReLU PReLU ELU Sigmoid TanH Swish Clip AbsVal BNLL Power Exp Log Threshold ShuffleChannel Interp "
        "Silence Input Data ImageData MemoryData DummyData HDF5Data WindowData SoftmaxWithLoss Accuracy"
    ).split()
    assert sorted(set(wanted) - set(layer_types())) == []


def test_a_data_layer_that_knows_no_shape_takes_the_callers() -> None:
    text = """layer { name: "d" type: "HDF5Data" top: "data" top: "label"
      hdf5_data_param { source: "x" batch_size: 2 } }
    layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }"""
    net = Network.from_text(text, inputs={"data": (2, 3, 4, 4), "label": (2,)})
    assert net.shape("relu") == (2, 3, 4, 4)
    with pytest.raises(NetworkError, match="HDF5Data"):
        Network.from_text(text)
