from __future__ import annotations

from pathlib import Path

import pytest

from caffezoo.errors import PrototxtError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.phases import check_structure, filter_net
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.formats.upgrade import V1_TYPE_NAMES, upgrade_net
from tests.formats.caffe_log import caffe_upgraded_net

V0 = """name: "v0"
input: "data" input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 12
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
layers {
  layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 5 stride: 2 group: 1 biasterm: true
    weight_filler { type: "gaussian" std: 0.01 } bias_filler { value: 1 }
    blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0. }
  bottom: "pad1" top: "conv1" }
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 pad: 1 } bottom: "conv1" top: "pool1" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.5 k: 2 } bottom: "pool1" top: "norm1" }
layers { layer { name: "cat" type: "concat" concat_dim: 1 } bottom: "norm1" bottom: "pool1" top: "cat" }
layers { layer { name: "fc" type: "innerproduct" num_output: 5 blobs_lr: 3 } bottom: "cat" top: "fc" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.2 } bottom: "fc" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }
"""
V0_DATA = """layers { layer { name: "d" type: "images" source: "l" meanfile: "m" batchsize: 2 cropsize: 8 mirror: true
  scale: 0.5 new_height: 9 new_width: 9 shuffle_images: true rand_skip: 1 } top: "data" top: "label" }
"""
V1 = """name: "v1"
input: "data"
input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 3
  param: "w" param: "b" blob_share_mode: PERMISSIVE convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "norm" type: LRN bottom: "conv" top: "norm" lrn_param { local_size: 3 } include { phase: TEST } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "norm" top: "loss" loss_weight: 0.5 exclude { phase: TEST } }
layers { name: "act" type: TANH bottom: "norm" top: "norm" }
layers { name: "prob" type: SOFTMAX bottom: "norm" top: "prob" softmax_param { axis: 2 } }
"""
V1_DATA = """layers { name: "d" type: DATA top: "data" top: "label" data_param { source: "s" scale: 0.5 crop_size: 5
  mirror: true mean_file: "m" batch_size: 2 } transform_param { mean_value: 3 } }
"""
BATCH_NORM = """input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "data" param { lr_mult: 1 } param { } param { name: "f" } }
layer { name: "bn2" type: "BatchNorm" bottom: "data" top: "data" param { lr_mult: 0 } }
"""

FIRST_FORK_NUMBER = 20001
"""From here on the enum has types of forks, whose own numbers collide."""


@pytest.mark.oracle
@pytest.mark.parametrize("text", [V0, V0_DATA, V1, V1_DATA, BATCH_NORM], ids=["v0", "v0-data", "v1", "v1-data", "bn"])
def test_upgrade_gives_what_caffe_gives(text: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    assert filter_net(parse_prototxt(text)).net == caffe_upgraded_net(path)


@pytest.mark.oracle
def test_every_v1_type_has_caffes_name(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    numbers = pb.V1LayerParameter.LayerType.items()
    own = [name for name, number in numbers if number < FIRST_FORK_NUMBER]
    text = "".join(f'layers {{ name: "{name}" type: {name} }}\n' for name in own)
    path.write_text(text)
    assert filter_net(parse_prototxt(text)).net == caffe_upgraded_net(path)


def test_v1_types_of_forks_have_their_later_names() -> None:
    text = 'layers { name: "a" type: CROP } layers { name: "b" type: CONVOLUTION3D }'
    assert [layer.type for layer in parse_prototxt(text).net.layer] == ["Crop", "Convolution3D"]


def test_every_v1_type_is_known() -> None:
    assert set(V1_TYPE_NAMES) == set(pb.V1LayerParameter.LayerType.keys())


def test_v0_net() -> None:
    prototxt = parse_prototxt(V0)
    check_structure(prototxt)
    conv = prototxt.net.layer[1]
    assert (conv.name, conv.type, list(conv.bottom)) == ("conv1", "Convolution", ["data"])
    assert (list(conv.convolution_param.pad), list(conv.convolution_param.kernel_size)) == ([2], [5])
    assert [(p.lr_mult, p.decay_mult) for p in conv.param] == [(1, 1), (2, 0)]
    assert prototxt.lines == (0, 4, 9, 10, 11, 12, 13, 14, 15)
    assert not prototxt.net.layers


def test_data_layers_move_their_transformations() -> None:
    for text in (V0_DATA, V1_DATA):
        layer = parse_prototxt(text).net.layer[0]
        transform = layer.transform_param
        assert (transform.scale, transform.mean_file, transform.mirror) == (0.5, "m", True)
        assert not layer.data_param.HasField("scale")


def test_batch_norm_statistics_do_not_learn() -> None:
    first, second = parse_prototxt(BATCH_NORM).net.layer[1:]
    assert [(p.lr_mult, p.decay_mult) for p in first.param] == [(0, 0)] * 3
    assert [(p.lr_mult, p.decay_mult) for p in second.param] == [(0, 1)]


def test_inputs_become_one_layer() -> None:
    net = parse_prototxt('input: "a" input: "b" input_dim: [1, 2, 3, 4, 5, 6, 7, 8] layer { name: "x" }').net
    assert [layer.name for layer in net.layer] == ["input", "x"]
    assert (net.layer[0].type, list(net.layer[0].top)) == ("Input", ["a", "b"])
    assert [list(s.dim) for s in net.layer[0].input_param.shape] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert not net.input
    assert not net.input_dim


def test_binary_nets_are_upgraded_too_and_left_as_they_are() -> None:
    net = pb.NetParameter(layers=[pb.V1LayerParameter(name="p", type=pb.V1LayerParameter.POOLING)], input=["data"])
    before = net.SerializeToString()
    upgraded = upgrade_net(net, "x.caffemodel")
    assert [layer.type for layer in upgraded.net.layer] == ["Pooling"]
    assert upgraded.lines == (0,)
    assert upgraded.warnings == ("x.caffemodel: input 'data' has no shape and is ignored, as in Caffe",)
    assert net.SerializeToString() == before


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("layer { }\nlayers { }", "n:2", "mixes"),
        ('input: "a" input_dim: 1', "n", "need 4 'input_dim', not 1"),
        ('input: "a" input: "b" input_shape { }', "n", "2 'input' names but 1 'input_shape'"),
        (
            '\nlayers { layer { name: "x" type: "convolution" } }',
            "n:2",
            "layer 'x': unknown V0 layer type 'convolution'",
        ),
        (V0.replace('"conv" num', '"relu" num'), "n:4", "cannot take the padding of 'pad1'"),
        ('layers { layer { name: "p" type: "padding" } }', "n:1", "padding layer 'p' has 0 bottoms"),
    ],
)
def test_what_cannot_be_upgraded(text: str, where: str, message: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        parse_prototxt(text, "n")
    assert caught.value.where == where
    assert message in caught.value.message


def test_v0_fields_that_mean_nothing_are_warned_of() -> None:
    prototxt = parse_prototxt('layers { layer { name: "r" type: "relu" stride: 2 } }', "n")
    assert prototxt.warnings == ("n:1: layer 'r': field 'stride' means nothing for type 'relu'",)
