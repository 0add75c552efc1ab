"""Values that stay in their file until they are asked for: the same numbers, whatever becomes of the file's name."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import WeightsFileError
from caffezoo.formats import blob_reader, caffemodel
from caffezoo.formats.blobs import WeightsFile
from caffezoo.formats.caffemodel import read_weights, write_caffemodel
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.formats.stored_array import CAN_READ_LATER, StoredArray

pytestmark = pytest.mark.skipif(not CAN_READ_LATER, reason="this system cannot read at an offset")
NET = 'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 } }'
BLOBS = [np.arange(12, dtype=np.float32).reshape(3, 4), np.array([0.5, -1, 2], np.float32)]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(caffemodel, "MIN_FILE_BYTES", 0)
    monkeypatch.setattr(blob_reader, "MIN_ARRAY_BYTES", 16)
    write_caffemodel(tmp_path / "a.caffemodel", parse_prototxt(NET).net, {"fc": BLOBS})
    return tmp_path / "a.caffemodel"


def stored(found: WeightsFile) -> StoredArray:
    kernel, bias = (blob.data for blob in found.layers[0].blobs)
    assert isinstance(kernel, StoredArray)
    assert isinstance(bias, np.ndarray)  # it is small
    return kernel


def test_the_same_values(file: Path) -> None:
    assert all(isinstance(blob.data, np.ndarray) for blob in read_weights(file).layers[0].blobs)
    kernel = stored(read_weights(file, later=True))
    assert (kernel.shape, kernel.size, kernel.nbytes, kernel.dtype) == ((3, 4), 12, 48, np.float32)
    assert np.array_equal(kernel.read(), BLOBS[0])
    assert not kernel.read().flags.writeable
    assert np.array_equal(np.asarray(kernel), BLOBS[0])
    assert np.asarray(kernel, np.float64).dtype == np.float64
    assert np.array_equal(kernel.reshape(4, 3).read(), BLOBS[0].reshape(4, 3))
    assert np.array_equal(kernel.reshape((12,)).read(), BLOBS[0].ravel())
    with pytest.raises(ValueError, match="cannot reshape an array of size 12 into shape"):
        kernel.reshape(5, 5)


def test_an_array_is_shared_while_it_is_used(file: Path) -> None:
    kernel = stored(read_weights(file, later=True))
    first = kernel.read()
    assert kernel.read() is first
    del first
    gc.collect()
    assert kernel._read is not None
    assert kernel._read() is None


def test_a_file_that_is_replaced_or_removed_is_read_as_it_was(file: Path) -> None:
    kernel = stored(read_weights(file, later=True))
    write_caffemodel(file, parse_prototxt(NET).net, {"fc": [BLOBS[0] + 1, BLOBS[1]]})
    assert np.array_equal(kernel.read(), BLOBS[0])
    file.unlink()
    gc.collect()
    assert np.array_equal(kernel.read(), BLOBS[0])


@pytest.mark.parametrize("kept", [0, 40])
def test_a_file_that_is_written_into_is_an_error(file: Path, kept: int) -> None:
    kernel = stored(read_weights(file, later=True))
    os.truncate(file, kept)
    with pytest.raises(WeightsFileError, match=r"a\.caffemodel: it was changed while a network used it; load it again"):
        kernel.read()


def test_the_file_is_closed_with_the_last_array(file: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/dev/fd"))

    before = open_files()
    kernels = [stored(read_weights(file, later=True)) for _ in range(3)]
    assert open_files() == before + 3
    del kernels
    gc.collect()
    assert open_files() == before
