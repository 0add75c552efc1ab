"""The network: blob versions, shapes, errors that name file, line and layer."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from caffezoo.errors import NetworkError, PrototxtError, ShapeError, UnknownLayerError, UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.layer_keys import layer_keys
from caffezoo.net.folding import fold
from caffezoo.net.graph import Network
from caffezoo.net.layer import BlobId, Layer, register
from caffezoo.net.plain import to_plain
from caffezoo.net.registry import layer_types
from caffezoo.net.scores import with_scores

SMALL = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def zeros(net: Network) -> dict[str, list[np.ndarray]]:
    return {n.key: [np.zeros(s, np.float32) for s in n.blob_shapes] for n in net.nodes if n.blob_shapes}


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
    blobs = zeros(net)
    assert net.with_weights(blobs).weights["fc"][0].shape == (5, 36)
    blobs["fc"][0] = np.zeros((36, 5), np.float32)
    with pytest.raises(NetworkError, match=r"'fc' .*: its weights have shapes \[36, 5\].*\[5, 36\], \[5\]$"):
        net.with_weights(blobs)


def test_weights_are_held_against_the_shapes_wherever_those_change() -> None:
    net = Network.from_text(SMALL, path="n.prototxt")
    net = net.with_weights(
        {n.key: [np.zeros(s, np.float32) for s in n.blob_shapes] for n in net.nodes if n.blob_shapes}
    )
    assert net.reshaped(batch=3).weights["fc"][0].shape == (5, 36)
    with pytest.raises(
        NetworkError, match=r"^n.prototxt:7: .*'fc'.*wants \[5, 196\].*; they are made for data 1x3x8x8$"
    ):
        net.resized(16)


def test_mappings_are_read_only_and_a_copy_by_pickle_is_whole() -> None:
    net = Network.from_text(SMALL)
    for mapping in (net.inputs, net.weights):
        with pytest.raises(TypeError, match="item assignment"):
            mapping["data"] = (1,)  # type: ignore[index]
    again = pickle.loads(pickle.dumps(net))
    assert (again.inputs, again.outputs, again.shape("prob")) == (net.inputs, net.outputs, (1, 5))


def test_layers_of_one_name_and_without_a_name_are_told_apart_by_key() -> None:
    net = Network.from_text(SMALL.replace('"relu"', '"conv"').replace('name: "prob" ', "").replace('name: "fc" ', ""))
    assert [n.key for n in net.nodes] == ["data", "conv", "conv#2", "", "#2"]
    assert net.node("conv#2").layer.type == "ReLU"
    assert layer_keys(["a#2", "a", "a", "a"]) == ("a#2", "a", "a#3", "a#4")


def test_what_is_made_of_a_network_keeps_lines_notes_path_and_phase() -> None:
    text = SMALL.replace('name: "fc"', 'name: "fc" phase: TRAIN').replace("stride: 2 }", "stride: 2 } need_backward: 1")
    net = Network.from_text(text, path="n.prototxt", phase=pb.TRAIN)
    assert any("need_backward" in note for note in net.notes)
    net = net.with_weights(
        {n.key: [np.zeros(s, np.float32) for s in n.blob_shapes] for n in net.nodes if n.blob_shapes}
    )
    for made in (net.reshaped(batch=2), fold(net).network, to_plain(net), with_scores(net)[0]):
        assert made.notes == net.notes
        assert made.prototxt.lines == net.prototxt.lines
        assert made.path == "n.prototxt"
        assert {node.layer.phase for node in made.nodes} == {pb.TRAIN}


def test_a_loss_without_a_top_gets_one_that_is_no_output() -> None:
    text = """
    layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "act" type: "ReLU" bottom: "a" top: "d" }
    layer { name: "cost" type: "EuclideanLoss" bottom: "a" bottom: "b" }
    """
    net = Network.from_text(text)
    assert net.outputs == ("d",)
    assert net.node("cost").top_shapes == ((),)
    assert net.node("cost").named_tops == ()


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


def test_every_unknown_layer_is_named_at_once() -> None:
    text = """input: "x" input_shape { dim: 1 }
    layer { name: "one" type: "Zzyx" bottom: "x" top: "a" }
    layer { name: "two" type: "ReLU" bottom: "a" top: "a" }
    layer { name: "three" type: "Abcd" bottom: "a" top: "b" }
    layer { name: "four" type: "Zzyx" bottom: "a" top: "c" }"""
    with pytest.raises(UnknownLayerError) as caught:
        Network.from_text(text)
    assert caught.value.message == (
        "3 layers of 2 unknown type(s): Abcd: 'three' (line 4); Zzyx: 'one' (line 2), 'four' (line 5)"
    )


def test_unknown_sources_of_data_say_how_they_become_inputs() -> None:
    text = """
    layer { name: "one" type: "Zzyx" top: "a" top: "b" }
    layer { name: "two" type: "Abcd" bottom: "a" top: "c" }"""
    with pytest.raises(UnknownLayerError, match=r"inputs with --shape a=1,3,224,224 --shape b=1$"):
        Network.from_text(text)


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
