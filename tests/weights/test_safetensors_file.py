"""safetensors: every dtype read, every header that the format does not allow refused."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffezoo.errors import WeightsFileError
from caffezoo.weights.safetensors_file import is_safetensors, read_safetensors, read_torch_tensors

CODES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "u1": "U8"}


def packed(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def file_of(arrays: dict[str, np.ndarray]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in arrays.items():
        end = len(data) + array.nbytes
        code = CODES[array.dtype.str[1:]]
        header[name] = {"dtype": code, "shape": array.shape, "data_offsets": [len(data), end]}
        data += array.tobytes()
    return packed(header, data)


@pytest.fixture
def written(tmp_path):
    def write(content: bytes):
        path = tmp_path / "a.safetensors"
        path.write_bytes(content)
        return path

    return write


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=4),
    dtype=st.sampled_from(sorted(CODES)),
)
def test_round_trip(tmp_path_factory, shapes, dtype):
    rng = np.random.default_rng(len(shapes))
    arrays = {f"t{i}": rng.integers(0, 100, s).astype(f"<{dtype}") for i, s in enumerate(shapes)}
    path = tmp_path_factory.mktemp("st") / "a.safetensors"
    path.write_bytes(file_of(arrays))
    assert is_safetensors(path)
    found = read_torch_tensors(path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape


@pytest.mark.parametrize("shape", [(2, 2), ()])
def test_bfloat16_and_bool(written, shape):
    values = np.full(shape, -1.5, np.float32)
    half = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    n = values.size
    header = {
        "a": {"dtype": "BF16", "shape": list(shape), "data_offsets": [0, 2 * n]},
        "b": {"dtype": "BOOL", "shape": list(shape), "data_offsets": [2 * n, 3 * n]},
    }
    found = read_safetensors(written(packed(header, half + b"\1" * n)))
    assert found["a"].dtype == np.float32
    assert found["b"].dtype == bool
    np.testing.assert_array_equal(found["a"], values)
    assert found["b"].all()
    assert found["a"].shape == found["b"].shape == shape


def one(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\1\0\0", "ends early, in its header"),
        (struct.pack("<Q", 1 << 60) + b"{", "header would have"),
        (struct.pack("<Q", 100) + b"{}", "ends early, in its header"),
        (packed(b"{nonsense"), "not JSON"),
        (packed(b"\xff\xfe{}"), "not JSON"),
        (packed(b"[" * 100_000), "not JSON"),
        (packed(b'{"a":1,"a":2}'), "a name stands twice"),
        (packed([1]), "not a table"),
        (packed({"__metadata__": {}}), "no tensors"),
        (packed({"a": 3}), "is not dtype"),
        (packed(one(dtype="F8_E4M3"), bytes(8)), "which is not read here"),
        (packed(one(dtype=["F32"]), bytes(8)), "which is not read here"),
        (packed(one(shape=[-2]), bytes(8)), "cannot be"),
        (packed(one(shape=[2.0]), bytes(8)), "cannot be"),
        (packed(one(shape=[True, 2]), bytes(8)), "cannot be"),
        (packed(one(shape=[1] * 17), bytes(8)), "cannot be"),
        (packed(one(shape=[3]), bytes(8)), "wants 12"),
        (packed(one(shape=[1 << 40, 1 << 40]), bytes(8)), "wants"),
        (packed(one(data_offsets=[8, 16]), bytes(16)), "leaves a gap"),
        (packed({**one(), "b": one()["a"]}, bytes(8)), "overlaps"),
        (packed(one(), bytes(7)), "ends early"),
        (packed(one(), bytes(9)), "belong to none"),
    ],
)
def test_refused(written, content, message):
    with pytest.raises(WeightsFileError, match=message) as caught:
        read_safetensors(written(content))
    assert len(str(caught.value)) < 500


def test_missing(tmp_path):
    assert not is_safetensors(tmp_path / "none")
    with pytest.raises(WeightsFileError, match="cannot be read"):
        read_safetensors(tmp_path / "none")


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 200), value=st.integers(0, 255))
def test_any_damaged_byte_is_an_error_or_a_number(tmp_path_factory, place, value):
    content = bytearray(file_of({"a": np.zeros((2, 3), "<f4"), "b": np.zeros(4, "<i8")}))
    content[place % len(content)] = value
    path = tmp_path_factory.mktemp("st") / "a.safetensors"
    path.write_bytes(content)
    try:
        found = read_safetensors(path)
    except WeightsFileError:
        return
    assert sum(a.nbytes for a in found.values()) <= 2 * len(content)
