"""Datum records against protobuf's own writer of the same fields."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import FormatError
from caffezoo.formats.datum import read_datum, write_datum
from caffezoo.formats.wire import DELIMITED, encode_tag, encode_varint


def test_what_is_written_is_read() -> None:
    planes = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    datum = read_datum(write_datum(planes.tobytes(), 7, shape=(3, 4, 5)))
    assert (datum.channels, datum.height, datum.width, datum.label, datum.encoded) == (3, 4, 5, 7, False)
    np.testing.assert_array_equal(datum.pixels(), planes.transpose(1, 2, 0))
    assert read_datum(write_datum(b"jpeg", -1)).label == -1
    assert read_datum(write_datum(b"jpeg", 2)).encoded


@pytest.mark.parametrize("packed", [True, False])
def test_floats(packed: bool) -> None:
    values = np.arange(6, dtype="<f4")
    record = bytes([8, 1, 16, 2, 24, 3])
    if packed:
        record += encode_tag(6, DELIMITED) + encode_varint(24) + values.tobytes()
    else:
        record += b"".join(b"\x35" + v.tobytes() for v in values)
    np.testing.assert_array_equal(read_datum(record).pixels()[..., 0], values.reshape(2, 3))


def test_what_is_none() -> None:
    with pytest.raises(FormatError, match="the record is no Datum"):
        read_datum(b"\xff" * 20)
    with pytest.raises(FormatError, match="no image"):
        read_datum(b"\x28\x01")
    with pytest.raises(FormatError, match="holds 5 values, not 3 x 4 x 5"):
        read_datum(write_datum(bytes(5), 0, shape=(3, 4, 5))).pixels()
