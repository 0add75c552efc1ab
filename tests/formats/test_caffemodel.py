from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffezoo.errors import WeightsFileError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats import caffemodel_writer
from caffezoo.formats.caffemodel import WeightsFile, read_weights, write_caffemodel
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.formats.wire import encode_tag, encode_varint
from tests.formats.caffe_log import run_caffe
from tests.formats.messages import TEXTS, filled, format_error
from tests.formats.test_signature import FOREIGN

PROPERTY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FIXED_FOUR = ("num", "channels", "height", "width")


def delimited(number: int, content: bytes) -> bytes:
    return encode_tag(number, 2) + encode_varint(len(content)) + content


def unpacked(values: np.ndarray) -> bytes:
    tag = encode_tag(5, 5) if values.dtype == np.float32 else encode_tag(8, 1)
    return b"".join(tag + value.tobytes() for value in values)


def layer_of(*blobs: bytes, name: str = "c") -> bytes:
    return delimited(100, delimited(1, name.encode()) + b"".join(delimited(7, blob) for blob in blobs))


def shape_of(*dims: int) -> bytes:
    return pb.BlobProto(shape=pb.BlobShape(dim=dims)).SerializeToString()


def read(content: bytes, folder: Path) -> WeightsFile:
    path = folder / "net.caffemodel"
    path.write_bytes(content)
    return read_weights(path)


def only_blob(content: bytes, folder: Path) -> Any:
    return read(layer_of(content), folder).layers[0].blobs[0]


@st.composite
def nets_with_blobs(draw: st.DrawFn) -> pb.NetParameter:
    """V2 or V1 nets, each blob with values that fit its shape, by protobuf's own encoding."""
    net = pb.NetParameter(name=draw(TEXTS))
    entries = draw(st.sampled_from([net.layer, net.layers]))
    make = pb.LayerParameter if entries is net.layer else pb.V1LayerParameter
    for _ in range(draw(st.integers(1, 4))):
        layer = entries.add()
        layer.CopyFrom(draw(filled(make, without=("blobs", "layer"))))
        for _ in range(draw(st.integers(0, 3))):
            dims = draw(st.lists(st.integers(0, 4), max_size=4))
            count = int(np.prod(dims))
            values = draw(st.lists(st.floats(width=32), min_size=count, max_size=count))
            blob = layer.blobs.add()
            blob.shape.dim.extend(dims)
            (blob.double_data if values and draw(st.booleans()) else blob.data).extend(values)
            blob.diff.extend(values)
            if len(dims) == 4 and draw(st.booleans()):
                for name, dim in zip(FIXED_FOUR, dims, strict=True):
                    setattr(blob, name, dim)
                blob.ClearField("shape")
    return net


@PROPERTY
@given(net=nets_with_blobs())
def test_files_of_protobuf_read_as_protobuf_reads_them(net: pb.NetParameter, tmp_path: Path) -> None:
    weights = read(net.SerializeToString(), tmp_path)
    entries = list(net.layer) or list(net.layers)
    assert [layer.name for layer in weights.layers] == [layer.name for layer in entries]
    for layer, proto in zip(weights.layers, entries, strict=True):
        assert len(layer.blobs) == len(proto.blobs)
        for blob, wanted in zip(layer.blobs, proto.blobs, strict=True):
            assert blob.legacy == wanted.HasField("num")
            dims = [getattr(wanted, f) for f in FIXED_FOUR] if blob.legacy else wanted.shape.dim
            assert blob.data.shape == tuple(dims)
            values = np.array(list(wanted.double_data) or list(wanted.data), np.float32)
            np.testing.assert_array_equal(blob.data.ravel(), values)
    assert not weights.warnings


@PROPERTY
@given(net=filled(pb.NetParameter, without=("layers", "blobs"), most=10), data=st.data())
def test_written_files_read_back(net: pb.NetParameter, data: st.DataObject, tmp_path: Path) -> None:
    weights: dict[str, list[np.ndarray]] = {}
    for i, layer in enumerate(net.layer):
        layer.name = f"{i} {layer.name}"
        if data.draw(st.booleans()):
            shapes = data.draw(st.lists(st.lists(st.integers(0, 3), max_size=5), max_size=3))
            weights[layer.name] = [np.random.default_rng(i).standard_normal(s).astype(np.float32) for s in shapes]
    net.layer.add(name="last")
    path = tmp_path / "net.caffemodel"
    write_caffemodel(path, net, weights)
    read_back = {name: [b.data for b in layer.blobs] for name, layer in read_weights(path).by_name().items()}
    parsed = pb.NetParameter.FromString(path.read_bytes())
    for layer in parsed.layer:
        wanted = weights.get(layer.name, [])
        for found, proto, array in zip(read_back[layer.name], layer.blobs, wanted, strict=True):
            np.testing.assert_array_equal(found, array)
            assert tuple(proto.shape.dim) == array.shape
            np.testing.assert_array_equal(np.array(proto.data, np.float32), array.ravel())
        layer.ClearField("blobs")
    assert parsed == net


@PROPERTY
@given(
    pieces=st.lists(st.tuples(st.booleans(), st.lists(st.floats(width=32), max_size=200)), max_size=6),
    double=st.booleans(),
)
def test_packed_and_unpacked_pieces_mix(pieces: list[tuple[bool, list[float]]], double: bool, tmp_path: Path) -> None:
    dtype, number = (np.float64, 8) if double else (np.float32, 5)
    arrays = [(packed, np.array(values, dtype)) for packed, values in pieces]
    encoded = b"".join(delimited(number, a.tobytes()) if packed else unpacked(a) for packed, a in arrays)
    wanted = np.concatenate([np.zeros(0, dtype), *(a for _, a in arrays)]).astype(np.float32)
    blob = only_blob(encoded + shape_of(wanted.size), tmp_path)
    np.testing.assert_array_equal(blob.data, wanted)
    parsed = pb.BlobProto.FromString(encoded)
    assert len(parsed.data) + len(parsed.double_data) == wanted.size


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_raw_data_of_nvcaffe(dtype: str, tmp_path: Path) -> None:
    values = np.array([[1, 0.5, -3], [0, 65504, 2**-24]], dtype)
    raw_type = {"<f2": pb.BlobProto.FLOAT16, "<f4": pb.BlobProto.FLOAT, "<f8": pb.BlobProto.DOUBLE}[dtype]
    proto = pb.BlobProto(raw_data_type=raw_type, raw_data=values.tobytes(), shape=pb.BlobShape(dim=[2, 3]))
    np.testing.assert_array_equal(only_blob(proto.SerializeToString(), tmp_path).data, values.astype(np.float32))
    proto.raw_data_type = pb.BlobProto.INT
    with pytest.raises(WeightsFileError, match="layer 'c', blob 0: raw data"):
        only_blob(proto.SerializeToString(), tmp_path)


def test_legacy_shape_wins_and_doubles_win(tmp_path: Path) -> None:
    proto = pb.BlobProto(height=1, width=2, num=1, channels=1, data=[1, 2], shape=pb.BlobShape(dim=[2]))
    blob = only_blob(proto.SerializeToString(), tmp_path)
    assert (blob.data.shape, blob.legacy) == ((1, 1, 1, 2), True)
    proto = pb.BlobProto(data=[1, 2, 3], double_data=[4, 5], shape=pb.BlobShape(dim=[2]))
    blob = only_blob(proto.SerializeToString(), tmp_path)
    assert (blob.data.tolist(), blob.legacy) == ([4, 5], False)


def test_blobs_are_aligned_and_read_only(tmp_path: Path) -> None:
    data = only_blob(b"\x50\x00" + delimited(5, np.ones(7, np.float32).tobytes()) + shape_of(7), tmp_path).data
    assert data.flags.aligned
    assert data.dtype == np.float32
    assert not data.flags.writeable
    with pytest.raises(ValueError):  # noqa: PT011 (numpy's own words)
        data[0] = 2


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (shape_of(3), "shape 3 needs 3 values, the file has 0"),
        (delimited(5, b"\0" * 8) + shape_of(3), "needs 3 values, the file has 2"),
        (delimited(5, b"\0" * 8), r"shape \(\) needs 1 values, the file has 2"),
        (delimited(5, b"\0" * 8) + shape_of(-1, -2), "shape -1x-2 cannot be"),
        (delimited(5, b"\0" * 4) + shape_of(*[1] * 33), "cannot be"),
        (delimited(5, b"\0" * 4) + shape_of(2**62, 2**62), "needs"),
        (delimited(5, b"\0" * 7), "no whole 4-byte values"),
        (delimited(7, b"\xff"), "shape of a blob cannot be read"),
    ],
)
def test_bad_blobs_name_their_layer(blob: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsFileError, match=message) as caught:
        read(layer_of(blob, name="conv7"), tmp_path)
    assert "layer 'conv7'" in str(caught.value)


def test_v0_and_v1_layers(tmp_path: Path) -> None:
    net = pb.NetParameter()
    blob = pb.BlobProto(num=1, channels=1, height=1, width=2, data=[1, 2])
    old = net.layers.add()
    old.layer.CopyFrom(pb.V0LayerParameter(name="fc", type="innerproduct", blobs=[blob]))
    net.layers.add(name="conv", type=pb.V1LayerParameter.CONVOLUTION, blobs=[blob])
    net.layers.add().layer.type = "padding"
    layers = read(net.SerializeToString(), tmp_path).layers
    assert [(layer.name, layer.type, len(layer.blobs)) for layer in layers] == [
        ("fc", "InnerProduct", 1),
        ("conv", "Convolution", 1),
        ("", "", 0),
    ]
    net.layer.add(name="new")
    with pytest.raises(WeightsFileError, match="mixes"):
        read(net.SerializeToString(), tmp_path)


def test_the_last_layer_of_a_name_counts(tmp_path: Path) -> None:
    weights = read(layer_of() + layer_of(shape_of(0)), tmp_path)
    assert len(weights.layers) == 2
    assert len(weights.by_name()["c"].blobs) == 1


def test_unknown_fields_are_named(tmp_path: Path) -> None:
    layer = delimited(1, b"bn") + delimited(2, b"BatchNorm") + delimited(9999, b"x") + delimited(139, b"\xa0\x06\x01")
    assert read(delimited(100, layer), tmp_path).warnings == (
        f"{tmp_path}/net.caffemodel: layer 'bn': unknown field 9999, batch_norm_param.100 ignored",
    )
    other = delimited(1, b"x") + delimited(106, b"\xff\xff") + delimited(7, shape_of(0))
    weights = read(delimited(100, other), tmp_path)
    assert "layer 'x': its parameters are those of another Caffe" in weights.warnings[0]
    assert len(weights.layers[0].blobs) == 1


def small_caffemodel() -> bytes:
    net = parse_prototxt('name: "n" layer { name: "a" type: "Scale" } layer { name: "b" type: "Bias" }').net
    for layer in net.layer:
        layer.blobs.add(data=[1, 2, 3, 4], shape=pb.BlobShape(dim=[2, 2]))
    return net.SerializeToString()


def test_every_truncation_is_named_with_its_offset(tmp_path: Path) -> None:
    content = small_caffemodel()
    ends = {3, content.rindex(b"\xa2\x06")}
    for length in range(2, len(content)):
        message = format_error(read, content[:length], tmp_path)
        if length in ends:
            assert message == "" or "no layers" in message
        else:
            assert "truncated at byte" in message, length
    assert "after layer 'a'" in format_error(read, content[:-1], tmp_path)


@pytest.mark.parametrize(("content", "name"), [f for f in FOREIGN if "HDF5" not in f[1]])
def test_foreign_files_are_named(content: bytes, name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsFileError, match="no caffemodel but") as caught:
        read(content, tmp_path)
    assert name in str(caught.value)


def test_other_things_are_named(tmp_path: Path) -> None:
    assert "text that begins with 'layer {" in format_error(read, b"layer {\n name: 'x' }", tmp_path)
    assert "cannot read the weights" in format_error(read_weights, tmp_path / "missing")
    assert "no regular file" in format_error(read_weights, tmp_path)
    caffe2 = delimited(1, b"init") + delimited(
        2, delimited(2, b"w") + delimited(4, b"Fill") + delimited(5, b"\x0a\x00")
    )
    assert "Caffe2" in format_error(read, caffe2, tmp_path)


@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_end_in_weights_or_a_format_error(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(small_caffemodel())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    assert "\n" not in format_error(read, bytes(content), tmp_path)


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_random_bytes_end_in_a_format_error(content: bytes, tmp_path: Path) -> None:
    assert "\n" not in format_error(read, content, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        encode_tag(100, 3) * 1_000_000,
        delimited(100, b"") * 200_000,
        delimited(100, b"\x20\x00" * 1_000_000),
        delimited(100, delimited(7, b"\x2d\0\0\0\0\x08\x00" * 400_000)),
        delimited(100, delimited(7, b"\x2a\x00" * 1_000_000 + b"\x08\x00")),
        delimited(100, delimited(1, b"n" * 3_000_000)),
        b"\xa2\x06" + b"\xff" * 20 + b"\0",
        b"\xa2\x06" + encode_varint(2**63),
    ],
    ids=["groups", "layers", "fields", "pieces", "empty-pieces", "name", "varint", "length"],
)
def test_hostile_files_end_quickly(content: bytes, tmp_path: Path) -> None:
    start = time.process_time()
    assert format_error(read, content, tmp_path)
    assert time.process_time() - start < 2


def test_unpacked_millions_are_fast(tmp_path: Path) -> None:
    values = np.zeros((1_000_000, 5), np.uint8)
    values[:, 0] = 0x2D
    values[:, 1:] = np.frombuffer(struct.pack("<f", 1.5), np.uint8)
    start = time.process_time()
    blob = only_blob(values.tobytes() + shape_of(1000, 1000), tmp_path)
    assert time.process_time() - start < 1
    assert (blob.data == 1.5).all()


def test_writing_refuses_what_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = parse_prototxt('layer { name: "a" }').net
    path = tmp_path / "net.caffemodel"
    huge = np.broadcast_to(np.float32(0), (1 << 29,))
    with pytest.raises(WeightsFileError, match=r"214748\d{4} bytes.*HDF5"):
        write_caffemodel(path, net, {"a": [huge]})
    with pytest.raises(WeightsFileError, match="layer 'b', which the net does not have"):
        write_caffemodel(path, net, {"b": []})
    with pytest.raises(WeightsFileError, match="cannot write"):
        write_caffemodel(tmp_path / "missing" / "net.caffemodel", net, {})
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"old")
    monkeypatch.setattr(caffemodel_writer.np, "ascontiguousarray", _full_disk)
    with pytest.raises(WeightsFileError, match="No space left"):
        write_caffemodel(path, net, {"a": [np.zeros(3)]})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def _full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_layers_keep_their_own_blobs(tmp_path: Path) -> None:
    net = pb.NetParameter.FromString(small_caffemodel())
    path = tmp_path / "net.caffemodel"
    write_caffemodel(path, net, {"a": [np.zeros((2, 1), np.float64)]})
    layers = read_weights(path).by_name()
    assert layers["a"].blobs[0].data.shape == (2, 1)
    assert layers["b"].blobs[0].data.tolist() == [[1, 2], [3, 4]]


CAFFE_NET = """name: "n" input: "data" input_shape { dim: 1 dim: 3 dim: 5 dim: 5 }
layer { name: "conv/a" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "fc" type: "InnerProduct" bottom: "c" top: "f" inner_product_param { num_output: 4 } }
"""
CAFFE_SHAPES = {"conv/a": [(2, 3, 3, 3), (2,)], "bn": [(2,), (2,), (1,)], "fc": [(4, 18), (4,)]}


@pytest.mark.oracle
def test_caffe_reads_what_we_write_and_we_what_it_writes(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    weights = {k: [random.standard_normal(s).astype(np.float32) for s in v] for k, v in CAFFE_SHAPES.items()}
    net, ours, theirs = (tmp_path / name for name in ("net.prototxt", "ours.caffemodel", "theirs.caffemodel"))
    net.write_text(CAFFE_NET)
    write_caffemodel(ours, parse_prototxt(CAFFE_NET).net, weights)
    code = """
net = caffe.Net(sys.argv[1], caffe.TEST, weights=sys.argv[2])
np.savez(sys.argv[3] + ".npz", **{f"{n} {i}": b.data for n, v in net.params.items() for i, b in enumerate(v)})
net.save(sys.argv[3])
"""
    status, _, log = run_caffe(code, net, ours, theirs)
    assert status == 0, log
    caffe_has = np.load(f"{theirs}.npz")
    back = read_weights(theirs).by_name()
    for name, blobs in weights.items():
        for i, blob in enumerate(blobs):
            np.testing.assert_array_equal(caffe_has[f"{name} {i}"], blob)
            np.testing.assert_array_equal(back[name].blobs[i].data, blob)
    assert back["fc"].type == "InnerProduct"
