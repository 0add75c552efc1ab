"""The torch reader: what torch writes is read to the bit, all else is refused and nothing is run."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from caffezoo.errors import FormatError, WeightsFileError
from caffezoo.weights.torch_file import read_state_dict

from . import torch_writer as tw

FORMATS = ("zip", "legacy")
DTYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


def _write(folder: Path, data: bytes, name: str = "net.pth") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _vector(count: int = 6, dtype: str = "float32") -> tw.Tensor:
    return tw.Tensor("0", dtype, count, (count,), (1,))


def _both(tensors: dict[str, tw.Tensor], data: bytes, count: int) -> dict[str, bytes]:
    structure = tw.state_dict(tensors)
    return {"zip": tw.zip_file(structure, {"0": data}), "legacy": tw.legacy_file(structure, {"0": (count, data)})}


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_arrays_come_back_to_the_bit(tmp_path, form, data):
    arrays = {}
    for i in range(data.draw(st.integers(1, 4))):
        dtype = data.draw(st.sampled_from(DTYPES))
        array = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
        # A view that is not contiguous, as TensorFlow's kernels are in converted files.
        arrays[f"layer{i}.weight"] = array.copy().T if array.ndim and data.draw(st.booleans()) else array.copy()
    read = read_state_dict(_write(tmp_path, tw.files_of(arrays)[form]))
    assert list(read) == list(arrays)
    for key, array in arrays.items():
        assert isinstance(read[key], np.ndarray)
        assert read[key].dtype == array.dtype
        np.testing.assert_array_equal(read[key], array)


@pytest.mark.parametrize("form", FORMATS)
def test_bfloat16_becomes_float32_exactly(tmp_path, form):
    wanted = np.array([1.0, -2.5, 3.0e38, 0.0], np.float32)
    bits = (wanted.view(np.uint32) >> 16).astype(np.uint16)
    wanted = (bits.astype(np.uint32) << 16).view(np.float32)
    read = read_state_dict(_write(tmp_path, _both({"w": _vector(4, "bfloat16")}, bits.tobytes(), 4)[form]))
    assert read["w"].dtype == np.float32
    np.testing.assert_array_equal(read["w"], wanted)


def test_a_state_dict_inside_a_checkpoint_is_found(tmp_path):
    values = np.arange(6, dtype=np.float32)
    inner = tw.mapping({"w": tw.tensor(_vector())})
    outer = tw.pickled(tw.mapping({"epoch": tw.integer(3), "state_dict": inner, "best": b"G" + b"\0" * 8}))
    read = read_state_dict(_write(tmp_path, tw.zip_file(outer, {"0": values.tobytes()})))
    assert list(read) == ["w"]
    np.testing.assert_array_equal(read["w"], values)


def test_big_endian_zip(tmp_path):
    values = np.arange(6, dtype=">f4")
    data = tw.zip_file(tw.state_dict({"w": _vector()}), {"0": values.tobytes()}, extra={"byteorder": b"big"})
    np.testing.assert_array_equal(read_state_dict(_write(tmp_path, data))["w"], values)


class _Bomb:
    """What a hostile file holds: unpickling it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, protocol):
    trace = tmp_path / "was-run"
    hostile = pickle.dumps({"w": _Bomb(f"touch {trace}")}, protocol)
    legacy = tw.legacy_file(hostile, {})
    for data in (tw.zip_file(hostile, {}), legacy):
        with pytest.raises(WeightsFileError, match=r"calls (posix|nt)\.system: refused, nothing was run"):
            read_state_dict(_write(tmp_path, data))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("operation", "shown"),
    [
        (tw.name("builtins", "eval"), "builtins.eval"),
        (b"(" + b"i" + b"os\nsystem\n", "os.system"),
        (tw.text("os") + tw.text("system") + b"\x93", "os.system"),
        (tw.name("torch.nn.modules.conv", "Conv2d"), "torch.nn.modules.conv.Conv2d"),
        (b"\x82\x01", "0x82"),  # EXT1: a name by number
        (b"Pstorage\n", "0x50"),  # PERSID
        (tw.name("collections", "OrderedDict") + b")\x81", "0x81"),  # NEWOBJ
        (tw.call(tw.name("torch", "FloatStorage"), tw.integer(1 << 30)), "torch.FloatStorage"),
        (b"(" + b"}" + tw.group() + tw.integer(1) + b"s", "dict key of type tuple"),
        (b"\x8b" + b"\xff\xff\xff\x7f", "an integer of 2147483647 bytes"),
    ],
)
def test_operations_that_a_state_dict_has_no_need_of(tmp_path, operation, shown):
    path = _write(tmp_path, tw.zip_file(tw.pickled(operation), {}))
    with pytest.raises(WeightsFileError) as caught:
        read_state_dict(path)
    assert shown in str(caught.value)
    assert "refused" in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "bad",
    [
        tw.Tensor("0", "float32", 6, (7,), (1,)),
        tw.Tensor("0", "float32", 6, (3,), (3,)),
        tw.Tensor("0", "float32", 6, (6,), (1,), offset=1),
        tw.Tensor("0", "float32", 6, (1 << 40,), (0,)),
        tw.Tensor("0", "float32", 6, (2, 3), (1 << 61, 1)),
        tw.Tensor("0", "float32", 6, (0, 1 << 50), (1, 1)),
        tw.Tensor("0", "float32", 6, (0, 1 << 40, 1 << 40), (1, 1, 1)),
        tw.Tensor("0", "float32", 6, (0,), (1,), offset=7),
        tw.Tensor("0", "float32", 6, (-1,), (1,)),
        tw.Tensor("0", "float32", 6, (6,), (-1,)),
        tw.Tensor("0", "float32", 6, (6,), (1, 1)),
        tw.Tensor("0", "float32", 7, (6,), (1,)),
        tw.Tensor("0", "float64", 6, (6,), (1,)),
    ],
)
def test_tensors_outside_their_storage(tmp_path, form, bad):
    with pytest.raises(WeightsFileError):
        read_state_dict(_write(tmp_path, _both({"w": bad}, bytes(24), 6)[form]))


def test_many_views_of_one_storage_are_not_a_way_to_more_memory(tmp_path):
    tensors = {f"w{i}": _vector(1000) for i in range(3000)}
    with pytest.raises(WeightsFileError, match="claim more than"):
        read_state_dict(_write(tmp_path, _both(tensors, bytes(4000), 1000)["zip"]))


def test_copying_again_and_again_is_counted_as_work(tmp_path):
    """A short loop of calls over one long list would take days: work is counted, not opcodes alone."""
    pairs = b"](" + b"".join(tw.group(tw.integer(i), b"N") for i in range(20_000)) + b"e" + b"q\x00" + b"0"
    again = (tw.name("collections", "OrderedDict") + b"h\x00\x85R0") * 20_000
    with pytest.raises(WeightsFileError, match="operations"):
        read_state_dict(_write(tmp_path, tw.zip_file(tw.pickled(pairs + again + b"N"), {})))


def test_deep_nesting_is_no_recursion(tmp_path):
    deep = b"]" * 200_000 + b"a" * 199_999
    with pytest.raises(WeightsFileError, match="holds a list"):
        read_state_dict(_write(tmp_path, tw.zip_file(tw.pickled(deep), {})))
    named = deep + tw.text("x") + b"\x93"
    with pytest.raises(WeightsFileError, match="malformed"):
        read_state_dict(_write(tmp_path, tw.zip_file(tw.pickled(named), {})))


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git LFS pointer"),
        (pickle.dumps({"a": 1}, 2), "a Python pickle"),
        (b"\x1f\x8b" + bytes(40), "gzip"),
        (bytes(range(130, 194)), "not a torch file"),
    ],
)
def test_other_files_are_named(tmp_path, data, shown):
    with pytest.raises(WeightsFileError, match=shown):
        read_state_dict(_write(tmp_path, data))


def test_missing_file(tmp_path):
    with pytest.raises(WeightsFileError, match="No such file"):
        read_state_dict(tmp_path / "none.pth")


def test_zip_members_that_lie(tmp_path):
    structure = tw.state_dict({"w": _vector()})
    with pytest.raises(WeightsFileError, match="not in the file"):
        read_state_dict(_write(tmp_path, tw.zip_file(structure, {})))
    with pytest.raises(WeightsFileError, match="TorchScript"):
        read_state_dict(_write(tmp_path, tw.zip_file(structure, {"0": bytes(24)}, extra={"constants.pkl": b""})))
    damaged = bytearray(tw.zip_file(structure, {"0": b"\x01" * 24}))
    damaged[damaged.index(b"\x01" * 24)] = 2
    with pytest.raises(WeightsFileError, match="damaged"):
        read_state_dict(_write(tmp_path, bytes(damaged)))
    squeezed = tmp_path / "squeezed.pth"
    with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", structure)
        archive.writestr("net/data/0", bytes(24))
    with pytest.raises(WeightsFileError, match="compressed"):
        read_state_dict(squeezed)


def _honest(form: str) -> bytes:
    arrays = {
        "conv.weight": np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3),
        "bn.num_batches_tracked": np.array(7, np.int64),
    }
    return tw.files_of(arrays)[form]


@pytest.mark.parametrize("form", FORMATS)
def test_every_truncation_is_an_error(tmp_path, form):
    data = _honest(form)
    for end in range(len(data)):
        with pytest.raises(WeightsFileError):
            read_state_dict(_write(tmp_path, data[:end]))


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    drop=st.tuples(st.floats(0, 1), st.integers(0, 20)),
)
def test_mutations_are_read_or_refused(tmp_path, form, edits, drop):
    data = bytearray(_honest(form))
    for place, value in edits:
        data[int(place * len(data))] = value
    start = int(drop[0] * len(data))
    del data[start : start + drop[1]]
    with contextlib.suppress(FormatError):
        for array in read_state_dict(_write(tmp_path, bytes(data))).values():
            assert array.size * array.itemsize <= 8 * len(data)


_OPCODES = st.sampled_from([bytes([code]) for code in range(256)])
_PIECES = st.one_of(
    _OPCODES,
    st.binary(max_size=6),
    st.integers(-(1 << 70), 1 << 70).map(tw.integer),
    st.text(max_size=4).map(tw.text),
    st.sampled_from(
        [
            tw.name("collections", "OrderedDict"),
            tw.name("torch._utils", "_rebuild_tensor_v2"),
            tw.name("torch._utils", "_rebuild_parameter"),
            tw.name("torch", "Size"),
            tw.name("os", "system"),
            tw.storage(_vector()),
            tw.tensor(_vector()),
            tw.call(tw.name("collections", "OrderedDict")),
            b"(", b"t", b"R", b"s", b"u", b"b", b"Q", b"q\x00", b"h\x00", b"]", b"}", b"a", b"e", b"0", b"1",
        ]
    ),
)  # fmt: skip


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(_PIECES, max_size=30))
def test_random_programs_are_read_or_refused(tmp_path, pieces):
    path = _write(tmp_path, tw.zip_file(tw.pickled(b"".join(pieces)), {"0": bytes(24)}))
    with contextlib.suppress(FormatError):
        read_state_dict(path)


def test_the_arrays_are_views_of_the_file(tmp_path):
    """16 MiB of weights cost no memory of ours; what a reader of the array touches is the page cache's."""
    count = 4 << 20
    path = _write(tmp_path, _both({"w": _vector(count)}, bytes(4 * count), count)["legacy"])
    tracemalloc.start()
    try:
        array = read_state_dict(path)["w"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert array.nbytes == 4 * count
    assert peak < 2 << 20
    assert not array.flags.writeable


def test_a_zip_directory_of_gigabytes_is_not_read(tmp_path):
    """The end record claims a directory of 1 GiB in a sparse file that has the room."""
    path = tmp_path / "huge.pth"
    size = 1 << 30
    with open(path, "wb") as out:
        out.write(b"PK\x03\x04")
        out.seek(size)
        fields = (0, 0, 0xFFFE, 0xFFFE, size - 4, 4, 0)
        out.write(
            b"PK\x05\x06"
            + b"".join(n.to_bytes(w, "little") for n, w in zip(fields, (2, 2, 2, 2, 4, 4, 2), strict=True))
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsFileError):
        read_state_dict(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
