"""Every kind of file of arrays is recognised, read and described; what is none is refused in one line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from caffezoo.errors import ZooError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.any_file import read_any
from caffezoo.formats.binaryproto import write_binaryproto
from caffezoo.formats.blob_statistics import CHUNK_VALUES, blob_statistics
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.hdf5 import write_hdf5
from caffezoo.formats.solverstate import SolverState, write_solverstate

# Made by pycaffe's Net.save of a net of phase TEST: a convolution, a batch norm, and its top read by two layers.
SAVED_BY_CAFFE = Path(__file__).parents[1] / "golden" / "saved_by_caffe.caffemodel"

BN = "BatchNorm"


def norm(mean: float, variance: float, factor: float = 1.0) -> list[np.ndarray]:
    return [np.full(4, mean * factor), np.full(4, variance * factor), np.full(1, factor)]


def written(path: Path, *layers: tuple[str, str, list[np.ndarray]], **fields: Any) -> Path:
    net = pb.NetParameter(layer=[pb.LayerParameter(name=name, type=kind, **fields) for name, kind, _ in layers])
    write_caffemodel(path, net, {name: blobs for name, _, blobs in layers if blobs})
    return path


@given(arrays(np.float32, array_shapes(max_dims=4), elements=st.floats(-100, 100, width=32)))
def test_statistics_are_numpys(blob: np.ndarray) -> None:
    found = blob_statistics(blob)
    x = blob.astype(np.float64)
    assert (found.shape, found.min, found.max) == (blob.shape, x.min(), x.max())
    np.testing.assert_allclose([found.mean, found.std], [x.mean(), x.std()], atol=1e-9)
    assert (found.zeros, found.nans, found.infinities) == ((x == 0).sum(), 0, 0)


def test_statistics_leave_out_what_is_no_number_and_keep_digits_across_chunks() -> None:
    found = blob_statistics(np.array([np.nan, 1, np.inf, 3, -np.inf, 0], np.float32))
    assert (found.min, found.max, found.mean) == (0, 3, 4 / 3)
    assert (found.zeros, found.nans, found.infinities, found.finite) == (1, 1, 2, False)
    assert blob_statistics(np.full(3, np.nan)).mean is None
    large = np.full(CHUNK_VALUES + 2, 1e6, np.float32)
    large[0] = 1e6 + 1
    found = blob_statistics(large)
    np.testing.assert_allclose(found.std, large.astype(np.float64).std(), rtol=1e-6)


def test_what_caffe_saved() -> None:
    file = read_any(SAVED_BY_CAFFE)
    facts = dict(file.facts)
    assert file.kind == "caffemodel"
    assert facts["producer"] == "Caffe itself, a net saved in phase TEST: every layer has its phase, " + (
        "1 inserted Split layers"
    )
    assert facts["batch norms"] == "1, all zero: never trained"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([("conv", "Convolution", [np.ones((1, 1, 1, 1))])], "none in the file"),
        ([("a", BN, norm(0.5, 2, 999))], "1 with statistics: not merged"),
        ([("a", BN, norm(0, 1, 999)), ("b", BN, norm(0, 1))], "2, all with mean 0 and variance 1: they look merged"),
        ([("a", BN, norm(0, 1)), ("b", BN, norm(2, 1))], "1 of them with mean 0 and variance 1, as if merged ('a')"),
        ([("a", BN, []), ("c", "Convolution", [np.ones(1)])], "1, all without statistics: they look merged"),
        ([("a", BN, []), ("b", BN, norm(2, 1))], "1 with statistics, 1 without"),
    ],
)
def test_merged_batch_norms_are_seen(layers: list[Any], said: str, tmp_path: Path) -> None:
    assert said in dict(read_any(written(tmp_path / "net.caffemodel", *layers)).facts)["batch norms"]


def test_producers(tmp_path: Path) -> None:
    conv = ("conv", "Convolution", [np.ones((1, 1, 1, 1))])
    data = ("data", "ImageData", [])
    for fields, layers, said in (
        ({}, [conv], "a converter or a script"),
        ({"convolution_param": pb.ConvolutionParameter(num_output=1)}, [conv], "another program than Caffe"),
        ({"phase": "TRAIN"}, [data, conv], "Caffe itself, a training's snapshot"),
        ({"phase": "TRAIN"}, [conv], "Caffe itself, a net saved in phase TRAIN"),
    ):
        file = read_any(written(tmp_path / "net.caffemodel", *layers, **fields))
        assert dict(file.facts)["producer"].startswith(said)
    old = pb.NetParameter(layers=[pb.V1LayerParameter(name="conv", type="CONVOLUTION")])
    old.layers[0].blobs.add(num=1, channels=1, height=1, width=2, data=[1, 2])
    (tmp_path / "old.caffemodel").write_bytes(old.SerializeToString())
    facts = dict(read_any(tmp_path / "old.caffemodel").facts)
    assert "V1" in facts["layers"]
    assert facts["blobs"] == "by num, channels, height, width"


def test_every_kind_is_read(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    write_binaryproto(tmp_path / "mean.binaryproto", values)
    state = SolverState(7, "net_iter_7.caffemodel", (values, values), 1)
    write_solverstate(tmp_path / "a.solverstate", state)
    write_solverstate(tmp_path / "a.solverstate.h5", state, hdf5=True)
    net = pb.NetParameter(layer=[pb.LayerParameter(name="conv", type="Convolution")])
    write_hdf5(tmp_path / "net.caffemodel.h5", net, {"conv": [values]})
    np.save(tmp_path / "a.npy", values.astype(np.uint8))
    np.savez_compressed(tmp_path / "a.npz", one=values, other=values)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "list.h5", "w") as file:
        file["data"], file["label"] = values, np.arange(3)
    for name, kind, layers in (
        ("mean.binaryproto", "mean image (binaryproto)", [""]),
        ("a.solverstate", "solver state", ["history 0", "history 1"]),
        ("a.solverstate.h5", "solver state", ["history 0", "history 1"]),
        ("net.caffemodel.h5", "HDF5 weights", ["conv"]),
        ("a.npy", "NumPy array", [""]),
        ("a.npz", "NumPy archive", ["one", "other"]),
        ("list.h5", "HDF5 data sets", ["data", "label"]),
    ):
        found = read_any(tmp_path / name)
        assert (found.kind, [layer.name for layer in found.layers]) == (kind, layers)
        np.testing.assert_array_equal(found.layers[0].blobs[0].data.reshape(values.shape), values)
        if kind == "solver state":
            assert dict(found.facts) == {"iteration": "7", "step": "1", "weights": "net_iter_7.caffemodel"}


@given(st.binary(max_size=300), st.sampled_from(["x.npy", "x.npz", "x.solverstate", "x.binaryproto", "x.h5", "x"]))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        with suppress(ZooError):
            assert read_any(Path(folder) / name).bytes == len(data)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "mean.binaryproto", "a.solverstate", "list.h5"])
def test_a_truncated_file_is_refused(name: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    test_every_kind_is_read(tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ZooError, match=name):
        read_any(tmp_path / name)


def test_bombs_and_objects_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(20_000_000, np.uint8))
    with pytest.raises(ZooError, match="would unpack to"):
        read_any(tmp_path / "zeros.npz")
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "s.npy", np.array(["text"]))
    for name in ("o.npy", "s.npy"):
        with pytest.raises(ZooError, match=name):
            read_any(tmp_path / name)
    with pytest.raises(ZooError, match="no such file"):
        read_any(tmp_path)
