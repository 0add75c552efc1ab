"""Binding by layer name: legacy shapes, shared blobs, and errors that say what was wanted and found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import BindingError, CaffeAbortError, ShapeError, ZooError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.caffemodel import Blob, LayerBlobs, WeightsFile, read_weights
from caffezoo.net.binding import bind
from caffezoo.net.graph import Network
from tests.oracle import caffe_process, requires_caffe

NET = Network.from_text("""
input: "data" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 5 bias_term: false } }
""", path="net.prototxt")  # fmt: skip


def weights_file(**layers: list[Blob]) -> WeightsFile:
    return WeightsFile("w.caffemodel", "caffemodel", tuple(LayerBlobs(n, "", tuple(b)) for n, b in layers.items()), ())


def blob(*shape: int, legacy: bool = False) -> Blob:
    return Blob(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), legacy)


def test_blobs_bind_by_name_and_unused_layers_are_reported() -> None:
    bound = bind(NET.nodes, weights_file(b=[blob(5, 48)], a=[blob(3, 2, 1, 1), blob(3)], loss1=[blob(7)]))
    assert [w.shape for w in bound.weights["a"]] == [(3, 2, 1, 1), (3,)]
    assert bound.unused == ("loss1",)
    assert "loss1" in bound.notes[0]


def test_a_layer_that_the_file_lacks_has_the_diagonal_that_the_prototxt_states() -> None:
    net = Network.from_text("""
    input: "x" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4
    layer { name: "s" type: "Convolution" bottom: "x" top: "s" convolution_param { num_output: 3 kernel_size: 2
      weight_filler { type: "diagonal" diag_val: 2 diag_val: 8 } bias_filler { type: "constant" value: 0.5 } } }
    """)  # fmt: skip
    bound = bind(net.nodes, weights_file(other=[blob(3)]))
    weight, bias = bound.weights["s"]
    wanted = np.zeros((3, 3, 2, 2))
    wanted[0, 0], wanted[1, 1], wanted[2, 2] = 0.5, 2, 0.25
    np.testing.assert_array_equal(weight, wanted)
    np.testing.assert_array_equal(bias, [0.5, 0.5, 0.5])
    assert "lacks layer 's'" in bound.notes[0]
    in_file = bind(net.nodes, weights_file(s=[blob(3, 3, 2, 2), blob(3)]))
    np.testing.assert_array_equal(in_file.weights["s"][1], [0, 1, 2])
    assert in_file.notes == ()


def test_legacy_shapes_keep_their_element_order() -> None:
    bound = bind(NET.nodes, weights_file(a=[blob(3, 2, 1, 1), blob(1, 1, 1, 3, legacy=True)],
                                   b=[blob(1, 1, 5, 48, legacy=True)]))  # fmt: skip
    assert bound.weights["b"][0].shape == (5, 48)
    assert bound.weights["b"][0][1, 0] == 48
    assert bound.notes == ()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"a": [blob(3, 2, 1, 1), blob(3)]}, r"'b' \(InnerProduct\): blob 0 of shape \[5, 48\] is missing"),
        ({"a": [blob(3, 2, 1, 1)], "b": [blob(5, 48)]}, r"'a'.*blob 1 of shape \[3\] is missing: the file has 1"),
        (
            {"a": [blob(3, 2, 3, 3), blob(3)], "b": [blob(5, 48)]},
            r"shape \[3, 2, 3, 3\] in the file, wanted \[3, 2, 1, 1\]",
        ),
        ({"a": [blob(3, 2, 1, 1), blob(3)], "b": [blob(5, 48), blob(5)]}, r"'b'.*wants 1 blob\(s\), the file has 2"),
        (
            {"a": [blob(3, 2, 1, 1), blob(3)], "b": [blob(5, 3, 4, 4)]},
            r"\[5, 3, 4, 4\] in the file, wanted.*layout",
        ),
        ({"a": [blob(3, 2, 1, 1), blob(3)], "b": [blob(48, 5)]}, r"shape \[48, 5\] in the file, wanted \[5, 48\]"),
        ({"a": [blob(3, 2, 1, 1), blob(1, 3)], "b": [blob(5, 48)]}, r"blob 1 has shape \[1, 3\] in the file"),
        ({"a": [blob(1, 1, 2, 3), blob(3)], "b": [blob(5, 48)]}, r"'a'.*blob 0 has shape \[1, 1, 2, 3\]"),
        ({"a": [blob(3, 2, 1, 1), blob(3, 1, 1, 1, legacy=True)], "b": [blob(5, 48)]}, r"'a'.*blob 1 has shape"),
        ({"x": [blob(1)]}, r"1 more layers do not fit.*another network"),
    ],
)
def test_what_does_not_fit_is_refused(layers: dict[str, list[Blob]], message: str) -> None:
    with pytest.raises(BindingError, match=message):
        bind(NET.nodes, weights_file(**layers))


def test_shared_blobs_come_from_the_first_layer_that_has_them() -> None:
    text = """
    input: "data" input_dim: 1 input_dim: 4 input_dim: 1 input_dim: 1
    layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
            inner_product_param { num_output: 4 bias_term: false } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
            inner_product_param { num_output: 4 bias_term: false } }
    """
    hdf5 = replace(weights_file(a=[blob(4, 4)]), format="hdf5")
    bound = bind(Network.from_text(text).nodes, hdf5)
    assert bound.weights["b"][0] is bound.weights["a"][0]


def test_values_that_are_not_finite_are_refused_with_layer_blob_and_number() -> None:
    bad = np.zeros((5, 48), np.float32)
    bad[1, 2], bad[3, 4] = np.nan, np.inf
    blobs = [blob(3, 2, 1, 1), blob(3)]
    with pytest.raises(BindingError, match=r"layer 'b' \(InnerProduct\): blob 0 holds 2 value\(s\) of 240"):
        bind(NET.nodes, weights_file(a=blobs, b=[Blob(bad, legacy=False)]))
    with pytest.raises(BindingError, match=r"'b'.*blob 0 holds 2 value"):
        NET.with_weights({"a": [b.data for b in blobs], "b": [bad]})
    huge = np.full((5, 48), 3e38, np.float32)  # its sum is infinite in float32, its values are not
    assert NET.with_weights({"a": [b.data for b in blobs], "b": [huge]}).weights["b"][0][0, 0] == np.float32(3e38)


INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
IMAGE = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }\n'


def product(name: str, bottom: str, top: str, rows: int = 3, more: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" {more} '
        f"inner_product_param {{ num_output: {rows} }} }}\n"
    )


SHARED = 'param { name: "w" } param { name: "b" }'
LOOSE = 'param { name: "w" share_mode: PERMISSIVE }'
TWO = INPUT + product("fc", "x", "y") + product("fc", "y", "z")
RELU = 'layer { name: "fc" type: "ReLU" bottom: "y" top: "y" }\n'
SIAMESE = INPUT + product("a", "x", "y", more=SHARED) + product("b", "y", "z", more=SHARED)
NORM = IMAGE + 'layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" }'
L, S = True, False

RULES: dict[str, tuple[str, list[tuple[str, list[tuple[bool, tuple[int, ...]]]]], str]] = {
    # network, layers of the file as (name, [(legacy, shape)]), and what real Caffe does
    "legacy ones before": (INPUT + product("fc", "x", "y"), [("fc", [(L, (1, 1, 3, 3)), (L, (1, 1, 1, 3))])], "taken"),
    "legacy ones behind": (
        INPUT + product("fc", "x", "y"), [("fc", [(L, (3, 3, 1, 1)), (L, (1, 1, 1, 3))])], "refused"),
    "ones before a shape": (INPUT + product("fc", "x", "y"), [("fc", [(S, (1, 1, 3, 3)), (S, (3,))])], "refused"),
    "transposed": (INPUT + product("fc", "x", "y", 5), [("fc", [(S, (3, 5)), (S, (5,))])], "refused"),
    "norm 1xCx1x1": (NORM, [("bn", [(S, (1, 3, 1, 1)), (S, (1, 3, 1, 1)), (S, (1,))])], "refused"),
    "norm legacy 1xCx1x1": (NORM, [("bn", [(L, (1, 3, 1, 1)), (L, (1, 3, 1, 1)), (L, (1, 1, 1, 1))])], "refused"),
    "norm legacy 1x1x1xC": (NORM, [("bn", [(L, (1, 1, 1, 3)), (L, (1, 1, 1, 3)), (L, (1, 1, 1, 1))])], "taken"),
    "too many": (INPUT + product("fc", "x", "y"), [("fc", [(S, (3, 3)), (S, (3,)), (S, (3,))])], "refused"),
    "too few": (INPUT + product("fc", "x", "y"), [("fc", [(S, (3, 3))])], "refused"),
    "file twice": (INPUT + product("fc", "x", "y"), [("fc", [(S, (3, 3)), (S, (3,))])] * 2, "taken"),
    "file twice, once empty": (
        INPUT + product("fc", "x", "y"), [("fc", [(S, (3, 3)), (S, (3,))]), ("fc", [])], "refused"),
    "net twice, no blobs": (INPUT + product("fc", "x", "y") + RELU, [("fc", [(S, (3, 3)), (S, (3,))])], "taken"),
    "net twice, both in the file": (
        INPUT + product("fc", "x", "y") + RELU, [("fc", [(S, (3, 3)), (S, (3,))]), ("fc", [])], "refused"),
    "no names": (INPUT + product("", "x", "y"), [("", [(S, (3, 3)), (S, (3,))])], "taken"),
    "blobs for a layer without": (INPUT + RELU.replace('"y"', '"x"'), [("fc", [(S, (3,))])], "refused"),
    "shared, both": (SIAMESE, [("a", [(S, (3, 3)), (S, (3,))]), ("b", [(S, (3, 3)), (S, (3,))])], "taken"),
    "shared, the owner's": (SIAMESE, [("a", [(S, (3, 3)), (S, (3,))])], "taken"),
    "shared, the other's": (SIAMESE, [("b", [(S, (3, 3)), (S, (3,))])], "taken"),
    "shared, one empty": (SIAMESE, [("a", [(S, (3, 3)), (S, (3,))]), ("b", [])], "refused"),
    "shared of another shape": (
        INPUT + product("a", "x", "y", 3, SHARED) + product("b", "y", "z", 4, SHARED), [], "refused"),
    "shared by size alone": (
        INPUT + product("a", "x", "y", 6, SHARED) + product("b", "y", "z", 3, LOOSE),
        [("a", [(S, (6, 3)), (S, (6,))]), ("b", [(S, (3, 6)), (S, (3,))])], "taken"),
    "twins that share": (
        SIAMESE.replace('"b" type', '"a" type'), [("a", [(S, (3, 3)), (S, (3,))])] * 2, "taken"),
}  # fmt: skip


def write(path: Path, layers: list[tuple[str, list[tuple[bool, tuple[int, ...]]]]]) -> None:
    """Write a caffemodel whose blobs count on from each other, so that it shows which of them was taken."""
    net, start = pb.NetParameter(), 0
    for name, blobs in layers or [("elsewhere", [])]:
        layer = net.layer.add(name=name)
        for legacy, shape in blobs:
            proto, size = layer.blobs.add(), int(np.prod(shape))
            if legacy:
                proto.num, proto.channels, proto.height, proto.width = shape
            else:
                proto.shape.dim.extend(shape)
            proto.data.extend(np.arange(start, start + size) / 64)
            start += size
    path.write_bytes(net.SerializeToString())


@pytest.mark.parametrize("rule", RULES)
def test_binding_follows_the_rules_that_real_caffe_was_seen_to_have(tmp_path: Path, rule: str) -> None:
    text, layers, verdict = RULES[rule]
    write(tmp_path / "w.caffemodel", layers)
    try:
        bind(Network.from_text(text).nodes, read_weights(tmp_path / "w.caffemodel"))
    except (BindingError, ShapeError):
        assert verdict == "refused"
    else:
        assert verdict == "taken"


@requires_caffe
@pytest.mark.parametrize("rule", RULES)
def test_real_caffe_binds_as_we_do(tmp_path: Path, rule: str) -> None:
    from caffezoo.engines.caffe import CaffeEngine
    from tests.oracle import assert_close, oracle_python

    text, layers, verdict = RULES[rule]
    path = tmp_path / "w.caffemodel"
    write(path, layers)
    try:
        caffe_process().load(text, path)
    except CaffeAbortError:
        assert verdict == "refused"
        with pytest.raises(ZooError):
            Network.from_text(text).with_weights_file(path)
        return
    assert verdict == "taken"
    network = Network.from_text(text).with_weights_file(path)
    shape = network.inputs["x"]
    x = (np.arange(np.prod(shape)) % 7 / 8).astype(np.float32).reshape(shape)
    wanted = caffe_process().run({"x": x})
    with CaffeEngine(network, batch_size=2, caffe_python=oracle_python()) as engine:
        found = engine.run(x)
    for name, value in wanted.items():
        assert_close(found[name], value, name)


def test_a_second_layer_of_a_name_with_blobs_of_its_own_is_refused_where_caffe_leaves_it_at_its_filler(
    tmp_path: Path,
) -> None:
    write(tmp_path / "w.caffemodel", [("fc", [(S, (3, 3)), (S, (3,))])])
    with pytest.raises(BindingError, match=r"prototxt:3.*go to the other layer of this name \(n.prototxt:2\).*rename"):
        bind(Network.from_text(TWO, path="n.prototxt").nodes, read_weights(tmp_path / "w.caffemodel"))


def test_an_hdf5_file_goes_to_the_last_layer_of_a_name() -> None:
    nodes = Network.from_text(INPUT + RELU.replace('"y"', '"x"') + product("fc", "x", "y")).nodes
    file = weights_file(fc=[blob(3, 3), blob(3)])
    assert list(bind(nodes, replace(file, format="hdf5")).weights) == ["fc#2"]
    with pytest.raises(BindingError, match=r"'fc' \(ReLU\): wants 0 blob\(s\), the file has 2"):
        bind(nodes, file)
