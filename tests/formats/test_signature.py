from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.signature import HDF5_NAME, identify, remedy

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""What torch's legacy files pickle first (torch/serialization.py, MAGIC_NUMBER)."""


def zip_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("name"))
    return buffer.getvalue()


def hdf5() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["x"] = 1
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


def onnx_model(**fields: str) -> bytes:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [1])], [value("y", 1, [1])])
    return onnx.helper.make_model(graph, **fields).SerializeToString()


FOREIGN = [
    (b"", "empty"),
    (b"\n <!-- mirror -->\n<!DOCTYPE html>\n<html>", "HTML"),
    (b"<HTML><head>", "HTML"),
    (b"<?xml version='1.0'?>", "XML"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "LFS pointer"),
    (gzip.compress(b"x", mtime=0), "gzip"),
    (bz2.compress(b"x"), "bzip2"),
    (lzma.compress(b"x"), "xz"),
    (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z"),
    (b"Rar!\x1a\x07\x01\x00", "RAR"),
    (zip_of("readme.txt"), "a zip archive"),
    (zip_of("archive/data.pkl", "archive/version"), "torch zip"),
    (zip_of("metadata.json", "model.weights.h5"), "Keras zip"),
    (npz(), "npz"),
    (tar(), "tar"),
    (b"%PDF-1.7", "PDF"),
    (b"\0" * 5000, "zero bytes"),
    (json.dumps({"error": "quota"}).encode(), "JSON"),
    (b"\x10\0\0\0\0\0\0\0" + b'{"weight":{}}', "safetensors"),
    *[(pickle.dumps({"a": 1}, protocol), "pickle") for protocol in (2, 3, 4, 5)],
    (pickle.dumps(TORCH_MAGIC, 2), "torch file (legacy"),
    (hdf5(), HDF5_NAME),
    (onnx_model(), "ONNX"),
    (onnx_model(producer_name="pytorch"), "ONNX"),
    (pb.BlobProto(num=1, channels=3, height=256, width=256, data=[1, 2]).SerializeToString(), "binaryproto"),
    (b"\x08\xe8\x07\x12\x12iter_1000.caffemodel\x1a\x00", "solverstate"),
    (b"\x08\x05\x12\x0cx.caffemodel\x1a\x18", "solverstate"),
    (b"\x08\x05\x12\x1f/data/m\xc3\xbcll/a_iter_5.caffemodel.h5\x1a\x18", "solverstate"),
    (b"\x0a\x1e\x0a\x05input\x12\x0bPlaceholder\x2a\x08\x0a\x05dtype", "TensorFlow graph"),
    (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
]


@pytest.mark.parametrize(("content", "name"), FOREIGN, ids=[name for _, name in FOREIGN])
def test_foreign_files_are_named(content: bytes, name: str, tmp_path: Path) -> None:
    found = identify(content)
    assert found is not None
    assert name in found
    path = tmp_path / "file"
    path.write_bytes(content)
    assert identify(path) == found


@pytest.mark.parametrize(
    "content",
    [
        pb.NetParameter(name="net", layer=[pb.LayerParameter(name="c", type="ReLU")]).SerializeToString(),
        pb.NetParameter(layer=[pb.LayerParameter(name="c", type="ReLU")]).SerializeToString(),
        pb.NetParameter(layers=[pb.V1LayerParameter(name="c")]).SerializeToString(),
        pb.NetParameter(name="\n\x05input", layers=[pb.V1LayerParameter(name="c")]).SerializeToString(),
        b'name: "net"\nlayer { name: "c" }',
        b"# comment\nlayer < >",
        b"input: 'data'",
    ],
)
def test_caffes_files_are_not_taken_for_foreign(content: bytes) -> None:
    assert identify(content) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_named_or_not(content: bytes) -> None:
    found = identify(content)
    assert found is None or found


def test_many_comments_take_linear_time() -> None:
    assert identify(b"<!---->" * 1100) is None


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (gzip.compress(b"x", mtime=0), "unpack it"),
        (zip_of("net.caffemodel"), "unpack it"),
        (tar(), "unpack it"),
        (npz(), "fetch the file again"),
        (b"<html>", "fetch the file again"),
        (b"\x08\x05\x12\x0cx.caffemodel\x1a\x18", "its weights are in the .caffemodel beside it"),
        (zip_of("archive/data.pkl", "archive/version"), "`caffezoo import`"),
    ],
    ids=["gzip", "zip", "tar", "npz", "html", "solverstate", "torch"],
)
def test_the_advice_fits_what_the_file_is(content: bytes, advice: str) -> None:
    found = identify(content)
    assert found is not None
    assert advice in remedy(found)
