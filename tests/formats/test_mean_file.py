"""Mean files as people have them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from caffezoo.errors import FormatError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.mean_file import MeanImage, read_mean

SIZES = st.tuples(st.sampled_from([1, 3]), st.integers(2, 9), st.integers(2, 9))
FORMS = st.sampled_from(["legacy", "shape"])
VALUES = st.floats(-300, 300, width=32)


def binaryproto(values: np.ndarray, form: str = "legacy") -> bytes:
    channels, height, width = values.shape
    blob = pb.BlobProto()
    if form == "shape":
        blob.shape.dim.extend([1, channels, height, width])
    else:
        blob.num, blob.channels, blob.height, blob.width = 1, channels, height, width
    if form == "double":
        blob.double_data.extend(values.ravel().tolist())
    elif form == "half":
        blob.raw_data_type, blob.raw_data = pb.BlobProto.FLOAT16, values.astype("<f2").tobytes()
    else:
        blob.data.extend(values.ravel().tolist())
    return blob.SerializeToString()


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def read(folder, content: bytes, name: str = "mean"):
    path = folder / name
    path.write_bytes(content)
    return read_mean(path)


@given(SIZES.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=VALUES)), FORMS)
def test_a_binaryproto_holds_what_was_written(tmp_path_factory, values, form):
    found = read(tmp_path_factory.mktemp("mean"), binaryproto(values, form))
    assert isinstance(found, MeanImage)
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_allclose(found.channel_means, values.mean((1, 2), dtype=np.float64), atol=1e-4)


@pytest.mark.parametrize("form", ["double", "half"])
def test_values_of_every_encoding(tmp_path, form):
    values = np.arange(2 * 3 * 3, dtype=np.float32).reshape(1, 6, 3)
    found = read(tmp_path, binaryproto(values, form))
    np.testing.assert_array_equal(found.values, values)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_arrays_of_every_shape_that_scripts_save(tmp_path, dtype):
    image = np.arange(3 * 5 * 6).reshape(3, 5, 6).astype(dtype)
    for saved in (image, image[np.newaxis]):
        np.testing.assert_array_equal(read(tmp_path, npy(saved)).values, image)
    np.testing.assert_array_equal(read(tmp_path, npy(image[0])).values, image[:1])
    assert read(tmp_path, npy(np.array([104, 117, 123], dtype))) == (104.0, 117.0, 123.0)
    assert read(tmp_path, npy(np.array([[[104]], [[117]], [[123]]], dtype))) == (104.0, 117.0, 123.0)


def test_equal_values_are_equal_means(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    one, other = read(tmp_path, binaryproto(values)), read(tmp_path, npy(values))
    assert one == MeanImage.of(values, one.path)
    assert one.sha256 == other.sha256 != MeanImage.of(values.reshape(1, 4, 3)).sha256


PICKLED = np.array([{"a": 1}], dtype=object)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"hello there", "cut off|says 0 x 0"),
        (binaryproto(np.zeros((3, 4, 4), np.float32))[:40], "cut off"),
        (npy(np.zeros((3, 4, 4)))[:-9], "cut off|no NumPy array"),
        (npy(np.zeros((4, 4, 3))), r"\[4, 4, 3\]"),
        (npy(np.zeros((9, 9, 3))), "channels last; `np.save"),
        (npy(np.zeros((2, 4, 4))), "not .* with one or three channels"),
        (npy(np.array(["a"])), "not of numbers"),
        (npy(np.full((3, 2, 2), np.nan)), "not finite"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_what_is_no_mean_file_is_one_error(tmp_path, content, message):
    with pytest.raises(FormatError, match=message) as caught:
        read(tmp_path, content)
    assert caught.value.where == str(tmp_path / "mean")


def test_a_pickle_is_not_run(tmp_path):
    stream = io.BytesIO()
    np.save(stream, PICKLED, allow_pickle=True)
    with pytest.raises(FormatError, match="no NumPy array that can be read"):
        read(tmp_path, stream.getvalue())


def test_a_header_that_claims_gigabytes_is_cut_off(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (3, 10**5, 10**5)})
    with pytest.raises(FormatError, match="cut off"):
        read(tmp_path, stream.getvalue() + bytes(100))


def test_what_is_not_there(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(FormatError, match="cannot be read"):
            read_mean(path)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_mean_or_one_error(tmp_path_factory, content):
    try:
        found = read(tmp_path_factory.mktemp("mean"), content)
    except FormatError:
        return
    assert isinstance(found, MeanImage | tuple)
