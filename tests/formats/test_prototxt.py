from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from caffezoo.errors import PrototxtError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import parse_prototxt, read_prototxt, write_prototxt
from tests.formats.messages import filled, format_error

NET = """name: "net"
input: "data"
input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer {
  name: "conv"
  type: "Convolution"
  bottom: "data"
  top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


def test_written_style() -> None:
    text = 'name: "n" layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 } } '
    text += "batch_norm_param { eps: 1e-05 use_global_stats: true } pooling_param { pool: AVE } loss_weight: 2 }"
    assert write_prototxt(parse_prototxt(text).net) == (
        'name: "n"\n'
        "layer {\n"
        '  name: "d"\n'
        '  type: "Input"\n'
        '  top: "d"\n'
        "  loss_weight: 2\n"
        "  pooling_param {\n"
        "    pool: AVE\n"
        "  }\n"
        "  batch_norm_param {\n"
        "    use_global_stats: true\n"
        "    eps: 1e-05\n"
        "  }\n"
        "  input_param {\n"
        "    shape { dim: 1 dim: 3 }\n"
        "  }\n"
        "}\n"
    )


@settings(max_examples=150, deadline=None)
@given(filled(pb.NetParameter, without=("layers", "input", "input_dim", "input_shape"), most=10))
def test_written_nets_read_back_equal(net: pb.NetParameter) -> None:
    for layer in net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            layer.ClearField("param")
    text = write_prototxt(net)
    assert parse_prototxt(text).net == net
    assert text_format.Parse(text, pb.NetParameter()) == net
    assert parse_prototxt(text_format.MessageToString(net)).net == net


@settings(max_examples=300, deadline=None)
@given(st.floats(width=32, allow_nan=False))
def test_floats_are_written_shortest(value: float) -> None:
    net = pb.NetParameter(layer=[pb.LayerParameter(loss_weight=[value])])
    text = write_prototxt(net)
    assert np.float32(parse_prototxt(text).net.layer[0].loss_weight[0]).tobytes() == np.float32(value).tobytes()
    assert len(text.split()[3]) <= len(str(np.float32(value)))


def test_lines_follow_the_layers() -> None:
    prototxt = parse_prototxt(NET, "net.prototxt")
    assert [layer.name for layer in prototxt.net.layer] == ["input", "conv", "relu"]
    assert prototxt.lines == (0, 4, 11)
    assert prototxt.warnings == ()


def test_unknown_fields_are_named_with_layer_and_line() -> None:
    text = 'layer {\n  foo_param { a: 1 }\n  name: "conv1"\n}\nsolver: "x"\nlayers { bar: 1 layer { name: "old" } }'
    with pytest.raises(PrototxtError, match="mixes"):
        parse_prototxt(text)
    new, old = text.split("layers", 1)
    assert parse_prototxt(new, "n.prototxt", lenient=True).warnings == (
        "n.prototxt:2: layer 'conv1': unknown field 'foo_param' ignored",
        "n.prototxt:5: unknown field 'solver' ignored",
    )
    warnings = parse_prototxt("layers" + old, lenient=True).warnings
    assert warnings == ("<string>:1: layer 'old': unknown field 'bar' ignored",)


def test_read_keeps_path_and_takes_odd_encodings_in_comments(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"\xef\xbb\xbf# \xb2\xe2\xca\xd4 GBK\r\n" + NET.replace("\n", "\r\n").encode())
    prototxt = read_prototxt(path)
    assert prototxt.path == str(path)
    assert prototxt.lines == (0, 5, 12)
    path.write_bytes(b'name: "\xb2\xe2"')
    with pytest.raises(PrototxtError, match="UTF-8"):
        read_prototxt(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a git LFS pointer"),
        (b"\x1f\x8b\x08", "gzip"),
        ("name: 'x'".encode("utf-16"), "UTF-16"),
        (b"\x0a\x03net\xa2\x06\x00\x00", "binary file"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    with pytest.raises(PrototxtError, match=message):
        read_prototxt(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(PrototxtError, match="cannot read"):
            read_prototxt(path)


@settings(max_examples=300, deadline=1000)
@given(st.data())
def test_damaged_prototxts_end_in_a_format_error(data: st.DataObject) -> None:
    text = NET
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 30)))
        text = (
            text[:start]
            + data.draw(st.sampled_from(["", "{", "}", "input: 'x'", "layers { }", "-", "'", text[:40]]))
            + text[end:]
        )
    assert "\n" not in format_error(parse_prototxt, text)


def test_ten_thousand_lines_are_fast() -> None:
    layer = 'layer {\n  name: "l"\n  type: "BatchNorm"\n  bottom: "a"\n  top: "a"\n'
    layer += "  batch_norm_param {\n    eps: 1e-5\n  }\n}\n"
    text = layer * 1112
    seconds = []
    for _ in range(3):
        start = time.process_time()
        parse_prototxt(text)
        seconds.append(time.process_time() - start)
    assert text.count("\n") > 10_000
    assert min(seconds) < 0.3
