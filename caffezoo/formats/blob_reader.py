"""One BlobProto read from a mapped caffemodel: its shape in every form, its values in every encoding."""

from __future__ import annotations

import io
import mmap
from typing import cast

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from caffezoo.errors import WeightsFileError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.blobs import Blob
from caffezoo.formats.stored_array import MIN_ARRAY_BYTES, KeptFile, StoredArray
from caffezoo.formats.wire import DELIMITED, FIXED32, FIXED64, WireError, WireField, count_run, walk_fields

MAX_AXES = 32
"""Most axes of a blob, Caffe's kMaxBlobAxes."""

MAX_PIECES = 10_000
"""Most fields in a blob, a run of unpacked values counted as one; files have a handful, hostile ones millions."""

# Field numbers of BlobProto in caffe.proto.
_DATA, _DIFF, _SHAPE, _DOUBLE, _DOUBLE_DIFF, _RAW_TYPE = 5, 6, 7, 8, 9, 10
_RAW, _RAW_DIFF = 12, 13
_RAW_DTYPES = {pb.BlobProto.DOUBLE: "<f8", pb.BlobProto.FLOAT: "<f4", pb.BlobProto.FLOAT16: "<f2"}

_Floats = npt.NDArray[np.float32]
_MAX_SMALL_BYTES = 4096
_Span = tuple[int, int, int]


class BlobReader:
    """Read blobs of one file.

    The walk looks at the mapped file; packed values are read into arrays of their own, so that they are aligned,
    outlive the file, and its pages do not count twice in memory. Without `values` they are not read at all; with a
    `kept` file large ones stay there until they are asked for.
    """

    def __init__(
        self, path: str, buffer: mmap.mmap, file: io.FileIO, values: bool = True, kept: KeptFile | None = None
    ) -> None:
        self._values = values
        self._kept = kept
        self._path = path
        self._buffer = buffer
        self._file = file
        self._size = len(buffer)

    def _error(self, message: str) -> WeightsFileError:
        return WeightsFileError(message, where=self._path)

    def read(self, outer: WireField, place: str) -> Blob:
        """Read the BlobProto in the span of `outer`; `place` names its layer and index in errors.

        Raises
        ------
        WireError
            The message is damaged.
        WeightsFileError
            Its shape and its values disagree.
        """
        if outer.wire != DELIMITED:
            raise WireError("a blob is not a message", outer.tag_at)
        small, chunks, doubles, raw = self._split_blob(outer)
        meta = pb.BlobProto()
        try:
            meta.ParseFromString(small)
        except DecodeError:
            raise WireError("the shape of a blob cannot be read", outer.start) from None
        legacy = any(meta.HasField(f) for f in ("num", "channels", "height", "width"))
        shape = (meta.num, meta.channels, meta.height, meta.width) if legacy else tuple(meta.shape.dim)
        if len(shape) > MAX_AXES or any(d < 0 for d in shape):
            raise self._error(f"{place}: shape {_shape_text(shape)} cannot be")
        if doubles:
            data = self._gather(doubles, "<f8")
        elif chunks:
            data = self._gather(chunks, "<f4")
        elif raw is not None:
            data = self._gather_raw(raw, meta.raw_data_type, place)
        else:
            data = np.empty(0, np.float32)
        wanted = 1
        for dim in shape:
            wanted *= dim
        if wanted != data.size:
            raise self._error(f"{place}: shape {_shape_text(shape)} needs {wanted} values, the file has {data.size}")
        data = data.reshape(shape)
        if isinstance(data, np.ndarray):
            data.flags.writeable = False
        return Blob(data, legacy)

    def _split_blob(self, outer: WireField) -> tuple[bytes, list[_Span], list[_Span], WireField | None]:
        """Return the small fields' bytes, the spans (start, end, stride) of float and of double data, and raw data.

        Stride 0 is a packed span; otherwise every entry of `stride` bytes is a tag byte and its value.
        """
        small, raw = [], None
        spans: dict[int, list[_Span]] = {_DATA: [], _DOUBLE: []}
        at, pieces = outer.start, 0
        while at < outer.end:
            pieces += 1
            if pieces > MAX_PIECES:
                raise WireError(f"a blob in more than {MAX_PIECES} pieces", outer.start)
            field = next(walk_fields(self._buffer, at, outer.end, self._size))
            at = field.end
            itemsize = 8 if field.number in (_DOUBLE, _DOUBLE_DIFF) else 4
            if field.number in (_DATA, _DOUBLE, _DIFF, _DOUBLE_DIFF):
                span = (field.start, field.end, 0)
                if field.wire == (FIXED64 if itemsize == 8 else FIXED32):
                    if field.start - field.tag_at != 1:
                        raise WireError(f"the tag of field {field.number} is longer than it need be", field.tag_at)
                    tag, stride = self._buffer[field.tag_at], itemsize + 1
                    at = field.tag_at + stride * count_run(self._buffer, field.tag_at, outer.end, tag, stride)
                    span = (field.tag_at, at, stride)
                elif field.wire != DELIMITED or (field.end - field.start) % itemsize:
                    raise WireError(f"field {field.number} holds no whole {itemsize}-byte values", field.tag_at)
                if field.number in spans and span[0] < span[1]:
                    spans[field.number].append(span)
            elif field.number == _RAW and field.wire == DELIMITED:
                raw = field
            elif field.number <= _RAW_TYPE:
                small.append(self._buffer[field.tag_at : min(field.end, field.tag_at + _MAX_SMALL_BYTES)])
        return b"".join(small), spans[_DATA], spans[_DOUBLE], raw

    def _gather(self, spans: list[_Span], dtype: str) -> _Floats:
        itemsize = np.dtype(dtype).itemsize
        counts = [(end - start) // (stride or itemsize) for start, end, stride in spans]
        if not self._values:
            return np.broadcast_to(np.float32(0), (sum(counts),))
        if self._kept is not None and len(spans) == 1 and not spans[0][2] and dtype == "<f4":
            start, end, _ = spans[0]
            if end - start >= MIN_ARRAY_BYTES:
                return cast("_Floats", StoredArray(self._kept, start, (counts[0],)))
        result = np.empty(sum(counts), np.float32)
        at = 0
        for (start, end, stride), count in zip(spans, counts, strict=True):
            target = result[at : at + count]
            at += count
            if not stride and dtype == "<f4" and count:
                self._read_into(target, start)
                continue
            values = np.frombuffer(self._buffer[start:end], np.uint8)
            if stride:
                values = np.ascontiguousarray(values.reshape(count, stride)[:, 1:]).reshape(-1)
            target[:] = values.view(dtype)
        return result

    def _read_into(self, target: _Floats, start: int) -> None:
        self._file.seek(start)
        view = target.view(np.uint8).data
        done = 0
        while done < len(view):
            got = self._file.readinto(view[done:])
            if not got:
                raise WireError("the file became shorter while it was read", start + done, truncated=True)
            done += got
        if not np.little_endian:
            target.byteswap(inplace=True)

    def _gather_raw(self, field: WireField, raw_type: int, place: str) -> _Floats:
        dtype = _RAW_DTYPES.get(raw_type)  # type: ignore[call-overload]
        if dtype is None or (field.end - field.start) % np.dtype(dtype).itemsize:
            raise self._error(f"{place}: raw data of {field.end - field.start} bytes in type {raw_type} cannot be read")
        if not self._values:
            return np.broadcast_to(np.float32(0), ((field.end - field.start) // np.dtype(dtype).itemsize,))
        return np.frombuffer(self._buffer[field.start : field.end], dtype).astype(np.float32)


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"
