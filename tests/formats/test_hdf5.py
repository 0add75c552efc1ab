from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffezoo.errors import WeightsFileError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.caffemodel import read_weights
from caffezoo.formats.hdf5 import read_hdf5, write_hdf5
from caffezoo.formats.prototxt import parse_prototxt
from tests.formats.caffe_log import run_caffe
from tests.formats.messages import format_error
from tests.formats.test_caffemodel import CAFFE_NET, CAFFE_SHAPES

FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NET = """layer { name: "data" } layer { name: "a/x" } layer { name: "a/y" } layer { name: "a" }
layer { name: "b" param { name: "w" } param { name: "own" } } layer { name: "c" param { name: "w" } param { } }"""


@FEW
@given(shapes=st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=3))
def test_written_files_read_back(shapes: list[list[int]], tmp_path: Path) -> None:
    arrays = [np.random.default_rng(3).standard_normal(s).astype(np.float32) for s in shapes]
    path = tmp_path / "net.caffemodel.h5"
    write_hdf5(path, parse_prototxt(NET).net, {"a/x": arrays, "a": arrays[::-1]})
    weights = read_weights(path)
    assert (weights.format, weights.path) == ("hdf5", str(path))
    layers = weights.by_name()
    assert set(layers) - {"a"} == {"data", "a/x", "a/y", "b", "c"}
    for name, wanted in {"a/x": arrays, "a": arrays[::-1], "data": []}.items():
        found = layers[name].blobs if name in layers else ()
        assert len(found) == len(wanted)
        for blob, array in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(blob.data, array)
            assert blob.data.shape == array.shape
            assert not blob.legacy


def test_shared_blobs_are_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    shared, own = np.ones(3), np.zeros(2)
    write_hdf5(path, parse_prototxt(NET).net, {"b": [shared, own], "c": [shared]})
    with h5py.File(path) as file:
        assert sorted(file["data/b"]) == ["0", "1"]
        assert sorted(file["data/c"]) == []


@pytest.mark.oracle
def test_caffe_reads_what_we_write_and_we_what_it_writes(tmp_path: Path) -> None:
    # Caffe itself cannot make the nested groups of a name with '/'.
    text = CAFFE_NET.replace("conv/a", "conv_a")
    random = np.random.default_rng(1)
    shapes = {name.replace("/", "_"): s for name, s in CAFFE_SHAPES.items()}
    weights = {k: [random.standard_normal(s).astype(np.float32) for s in v] for k, v in shapes.items()}
    net, ours, theirs = (tmp_path / name for name in ("net.prototxt", "ours.caffemodel.h5", "theirs.caffemodel.h5"))
    net.write_text(text)
    write_hdf5(ours, parse_prototxt(text).net, weights)
    code = """
net = caffe.Net(sys.argv[1], caffe.TEST)
net.load_hdf5(sys.argv[2])
np.savez(sys.argv[3] + ".npz", **{f"{n} {i}": b.data for n, v in net.params.items() for i, b in enumerate(v)})
net.save_hdf5(sys.argv[3])
"""
    status, _, log = run_caffe(code, net, ours, theirs)
    assert status == 0, log
    caffe_has = np.load(f"{theirs}.npz")
    back = read_weights(theirs).by_name()
    for name, blobs in weights.items():
        for i, blob in enumerate(blobs):
            np.testing.assert_array_equal(caffe_has[f"{name} {i}"], blob)
            np.testing.assert_array_equal(back[name].blobs[i].data, blob)


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"

    def error_of(**datasets: object) -> str:
        with h5py.File(path, "w") as file:
            for name, value in datasets.items():
                file[name.replace("__", "/")] = value
        return format_error(read_weights, path)

    assert "no group /data" in error_of(x=1)
    assert "no group /data" in error_of(data=1)
    assert "Keras one" in error_of(model_weights__conv=1)
    assert "Keras 3" in error_of(_layer_checkpoint_dependencies__conv=1)
    assert "layer 'c', blob 0: values of type" in error_of(data__c__0=np.array([b"text"]))
    assert "blobs [0, 2] are not numbered" in error_of(data__c__0=1.0, data__c__2=1.0)
    assert error_of(data__c__0=1.0, data__c__notes="kept by a tool") == ""
    with h5py.File(path, "w") as file:
        file.create_group("data")
    assert "no layers in /data" in format_error(read_weights, path)


def test_hostile_files_end_in_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data/c/0", shape=(1 << 40,), dtype="f4", chunks=(1024,))
    assert "4398046511104 bytes of values, but 0 in the file" in format_error(read_weights, path)
    with h5py.File(path, "w") as file:
        file.create_group("data/c")["again"] = file.create_group("data/d")
        file["data/d/data"] = file["data"]
    assert "contains itself" in format_error(read_weights, path)
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 8)
    with h5py.File(path, "w") as file:
        file.create_dataset("data/c/0", shape=(2,), dtype="f4", external=[(str(secret), 0, 8)])
    assert "in another file" in format_error(read_weights, path)
    with h5py.File(path, "w") as file:
        file.create_group("data/c")
        file["data/c/0"] = h5py.ExternalLink(str(secret), "/x")
        file["data/c/1"] = h5py.SoftLink("/nowhere")
    assert len(read_weights(path).layers[0].blobs) == 0


def test_truncated_files_end_in_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    write_hdf5(path, parse_prototxt(NET).net, {"b": [np.ones((30, 30))]})
    content = path.read_bytes()
    for length in range(8, len(content), 199):
        path.write_bytes(content[:length])
        assert str(path) in format_error(read_weights, path)


def test_writing_refuses_what_cannot_be_written(tmp_path: Path) -> None:
    net = parse_prototxt(NET).net
    with pytest.raises(WeightsFileError, match="layer 'z', which the net does not have"):
        write_hdf5(tmp_path / "net.h5", net, {"z": []})
    with pytest.raises(WeightsFileError, match="cannot write"):
        write_hdf5(tmp_path / "missing" / "net.h5", net, {})


def test_missing_h5py_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.h5"
    write_hdf5(path, parse_prototxt(NET).net, {"b": [np.ones(3)]})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(WeightsFileError, match=r"h5py; pip install 'caffezoo\[keras\]'"):
        read_hdf5(path)


def test_h5py_is_imported_only_when_needed() -> None:
    code = "import caffezoo.formats.hdf5, caffezoo.formats.caffemodel, sys; sys.exit('h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_full_disk_is_an_error_and_the_library_lives_on(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    net = pb.NetParameter(layer=[pb.LayerParameter(name="fc", type="InnerProduct")])
    weights = {"fc": [np.arange(20_000, dtype=np.float32)]}
    target = tmp_path / "net.h5"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 100, 4096, 50_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(WeightsFileError, match="cannot write the weights") as caught:
                write_hdf5(target, net, weights)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.where == str(target)
        assert not list(tmp_path.iterdir())
    write_hdf5(target, net, weights)
    np.testing.assert_array_equal(read_hdf5(target).layers[0].blobs[0].data, weights["fc"][0])
