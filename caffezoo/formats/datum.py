"""Caffe's ``Datum``: one image as Caffe's databases hold it, encoded or raw.

Field numbers are those of BVLC's caffe.proto: channels 1, height 2, width 3, data 4, label 5, float_data 6, encoded 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import FormatError
from caffezoo.formats.wire import DELIMITED, FIXED32, VARINT, WireError, encode_tag, encode_varint, walk_fields

_CHANNELS, _HEIGHT, _WIDTH, _DATA, _LABEL, _FLOAT_DATA, _ENCODED = range(1, 8)


@dataclass(frozen=True, eq=False)
class Datum:
    """One record.

    Attributes
    ----------
    channels, height, width : int
        Of raw pixels; 0 where not stated, as for most encoded records.
    data : bytes
        An encoded image, or channels x height x width pixels, planes in the order B, G, R.
    label : int or None
    encoded : bool
    float_data : float32 array
        In place of ``data`` where pixels are no bytes.
    """

    channels: int
    height: int
    width: int
    data: bytes
    label: int | None
    encoded: bool
    float_data: NDArray[np.float32]

    def pixels(self) -> NDArray[np.generic]:
        """Return raw pixels as (height, width, channels).

        Raises
        ------
        FormatError
            The record is encoded, or holds another number of values than its sides say.
        """
        shape = (self.channels, self.height, self.width)
        values: NDArray[np.generic] = np.frombuffer(self.data, np.uint8) if self.data else self.float_data
        if self.encoded or min(shape) < 1 or values.size != np.prod(shape, dtype=np.int64):
            raise FormatError(f"the record holds {values.size} values, not {' x '.join(map(str, shape))} (C x H x W)")
        return np.ascontiguousarray(values.reshape(shape).transpose(1, 2, 0))


def read_datum(record: bytes) -> Datum:
    """Read one record of a database.

    Raises
    ------
    FormatError
        The bytes are no Datum.
    """
    numbers = dict.fromkeys((_CHANNELS, _HEIGHT, _WIDTH, _ENCODED), 0)
    label: int | None = None
    data = b""
    floats: list[NDArray[np.float32]] = []
    try:
        for field in walk_fields(record, 0, len(record), len(record)):
            if field.number in numbers and field.wire == VARINT:
                numbers[field.number] = field.value & 0x7FFFFFFF
            elif field.number == _LABEL and field.wire == VARINT:
                label = field.value - (1 << 64) if field.value >> 63 else field.value
            elif field.number == _DATA and field.wire == DELIMITED:
                data = record[field.start : field.end]
            elif field.number == _FLOAT_DATA and field.wire in (DELIMITED, FIXED32):
                floats.append(np.frombuffer(record[field.start : field.end], "<f4"))
    except (WireError, ValueError) as error:
        raise FormatError(f"the record is no Datum: {error}") from None
    if not data and not floats:
        raise FormatError("the record holds no image: no data in its Datum")
    return Datum(
        numbers[_CHANNELS],
        numbers[_HEIGHT],
        numbers[_WIDTH],
        data,
        label,
        bool(numbers[_ENCODED]),
        np.concatenate(floats) if floats else np.empty(0, np.float32),
    )


def write_datum(
    data: bytes, label: int, *, shape: tuple[int, int, int] | None = None, encoded: bool | None = None
) -> bytes:
    """Return the bytes of a record.

    Parameters
    ----------
    data : bytes
        An encoded image, or raw planes.
    label : int
    shape : (channels, height, width), optional
        Of raw planes; without it the data are encoded.
    encoded : bool, optional
        What the record says of itself, if not that.
    """
    out = bytearray()
    for number, value in zip((_CHANNELS, _HEIGHT, _WIDTH), shape or (), strict=False):
        out += encode_tag(number, VARINT) + encode_varint(value)
    out += encode_tag(_DATA, DELIMITED) + encode_varint(len(data)) + data
    out += encode_tag(_LABEL, VARINT) + encode_varint(label & 0xFFFFFFFFFFFFFFFF)
    if encoded if encoded is not None else shape is None:
        out += encode_tag(_ENCODED, VARINT) + encode_varint(1)
    return bytes(out)
