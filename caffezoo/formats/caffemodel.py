"""Binary weights files (`.caffemodel`): read without a parser's copies, with the offset of what is wrong in them."""

from __future__ import annotations

import io
import mmap
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import numpy.typing as npt
from google.protobuf import unknown_fields
from google.protobuf.message import DecodeError, Message

from caffezoo.errors import WeightsFileError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.blobs import Blob, LayerBlobs, WeightsFile
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.legacy_v0 import V0_TYPES
from caffezoo.formats.signature import HDF5_NAME, identify
from caffezoo.formats.upgrade import TYPE_OF_V1_NUMBER, V1_TYPE_NAMES
from caffezoo.formats.wire import DELIMITED, FIXED32, FIXED64, VARINT, WireError, WireField, count_run, walk_fields

__all__ = ["Blob", "LayerBlobs", "WeightsFile", "read_weights", "write_caffemodel"]

MAX_AXES = 32
"""Most axes of a blob, Caffe's kMaxBlobAxes."""

# Field numbers of caffe.proto.
_NET_V1_LAYER, _NET_LAYER = 2, 100
_LAYER_NAME, _LAYER_TYPE, _LAYER_BLOBS = 1, 2, 7
_V1_V0_LAYER, _V1_NAME, _V1_TYPE, _V1_BLOBS = 1, 4, 5, 6
_V0_NAME, _V0_TYPE, _V0_BLOBS = 1, 2, 50
_BLOB_DATA, _BLOB_DIFF, _BLOB_SHAPE, _BLOB_DOUBLE, _BLOB_DOUBLE_DIFF, _BLOB_RAW_TYPE = 5, 6, 7, 8, 9, 10
_BLOB_RAW, _BLOB_RAW_DIFF = 12, 13
_RAW_DTYPES = {pb.BlobProto.DOUBLE: "<f8", pb.BlobProto.FLOAT: "<f4", pb.BlobProto.FLOAT16: "<f2"}

_Floats = npt.NDArray[np.float32]


def read_weights(path: str | PathLike[str]) -> WeightsFile:
    """Read a caffemodel or an HDF5 weights file, whichever the first bytes say it is.

    Raises
    ------
    WeightsFileError
        The file cannot be opened, is something else (which is named), is truncated (with the byte offset) or holds
        a blob whose shape and values disagree.
    """
    name = fspath(path)
    try:
        foreign = identify(name)
        if foreign == HDF5_NAME:
            from caffezoo.formats.hdf5 import read_hdf5

            return read_hdf5(name)
        if foreign is not None:
            raise WeightsFileError(f"this is no caffemodel but {foreign}", where=name, hint="fetch the file again")
        with (
            Path(name).open("rb", buffering=0) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer,
        ):
            return _Reader(name, buffer, file).read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise WeightsFileError(f"cannot read the weights: {reason}", where=name) from None


class _Reader:
    """One reading of one file. The walk looks at the mapped file; values are read into arrays of their own, so that
    they are aligned, outlive the file, and its pages do not count twice.
    """

    def __init__(self, path: str, buffer: mmap.mmap, file: io.FileIO) -> None:
        self._path = path
        self._buffer = buffer
        self._file = file
        self._size = len(buffer)
        self._layer = ""
        self._warnings: list[str] = []

    def read(self) -> WeightsFile:
        layers: list[LayerBlobs] = []
        forms: set[int] = set()
        try:
            for field in walk_fields(self._buffer, 0, self._size, self._size):
                if field.number not in (_NET_LAYER, _NET_V1_LAYER):
                    continue
                if field.wire != DELIMITED:
                    raise WireError(f"field {field.number} is not a layer", field.tag_at)
                forms.add(field.number)
                self._layer = f"layer number {len(layers)}"
                layers.append(self._read_layer(field))
        except WireError as error:
            raise self._wire_error(error, bool(layers)) from None
        if not layers:
            raise self._error("no layers in it: this is no caffemodel, or one of a net without layers")
        if len(forms) > 1:
            raise self._error("it mixes 'layer' and 'layers' entries, which Caffe refuses")
        return WeightsFile(self._path, "caffemodel", tuple(layers), tuple(self._warnings))

    def _error(self, message: str, hint: str | None = None) -> WeightsFileError:
        return WeightsFileError(message, where=self._path, hint=hint)

    def _wire_error(self, error: WireError, has_layers: bool) -> WeightsFileError:
        place = f"byte {error.offset} of {self._size}"
        if self._layer:
            place += f", in {self._layer}"
        if error.truncated and (has_layers or self._layer or self._size > 64):
            return self._error(f"truncated at {place}: {error}", "fetch the file again")
        return self._error(f"this is no caffemodel, or a damaged one, at {place}: {error}", "fetch the file again")

    def _fields(self, outer: WireField) -> list[WireField]:
        return list(walk_fields(self._buffer, outer.start, outer.end, self._size))

    def _text(self, field: WireField) -> str:
        if field.wire != DELIMITED:
            raise WireError(f"field {field.number} is not text", field.tag_at)
        return self._buffer[field.start : field.end].decode("utf-8", "backslashreplace")

    def _read_layer(self, outer: WireField) -> LayerBlobs:
        fields = self._fields(outer)
        if outer.number == _NET_LAYER:
            name, type_ = self._name_and_type(fields, _LAYER_NAME, _LAYER_TYPE)
            blobs = [f for f in fields if f.number == _LAYER_BLOBS]
            self._warn_unknown(pb.LayerParameter(), fields, _LAYER_BLOBS)
        else:
            name, type_, blobs = self._read_v1(fields)
        self._layer = f"layer '{name}'"
        return LayerBlobs(name, type_, tuple(self._read_blob(f, i) for i, f in enumerate(blobs)))

    def _name_and_type(self, fields: list[WireField], name: int, type_: int) -> tuple[str, str]:
        texts = {f.number: f for f in fields if f.number in (name, type_)}
        layer_name = self._text(texts[name]) if name in texts else ""
        self._layer = f"layer '{layer_name}'"
        return layer_name, self._text(texts[type_]) if type_ in texts else ""

    def _read_v1(self, fields: list[WireField]) -> tuple[str, str, list[WireField]]:
        for field in fields:
            if field.number == _V1_V0_LAYER and field.wire == DELIMITED:
                inner = self._fields(field)
                name, type_ = self._name_and_type(inner, _V0_NAME, _V0_TYPE)
                return name, V1_TYPE_NAMES.get(V0_TYPES.get(type_, ""), ""), [f for f in inner if f.number == _V0_BLOBS]
        if any(f.number == _V1_TYPE and f.wire == DELIMITED for f in fields):
            raise self._error("this is no caffemodel but a Caffe2 network")
        name, _ = self._name_and_type(fields, _V1_NAME, -1)
        numbers = [f.value for f in fields if f.number == _V1_TYPE and f.wire == VARINT]
        self._warn_unknown(pb.V1LayerParameter(), fields, _V1_BLOBS)
        return (
            name,
            TYPE_OF_V1_NUMBER.get(numbers[-1], "") if numbers else "",
            [f for f in fields if f.number == _V1_BLOBS],
        )

    def _warn_unknown(
        self, message: pb.LayerParameter | pb.V1LayerParameter, fields: list[WireField], blobs: int
    ) -> None:
        """Parse all of a layer but its blobs, only to name the fields that nobody knows."""
        small = b"".join(self._buffer[f.tag_at : f.end] for f in fields if f.number != blobs and f.wire != 3)
        try:
            message.ParseFromString(small)
        except DecodeError:
            self._warnings.append(f"{self._path}: {self._layer}: its parameters are those of another Caffe; ignored")
            return
        unknown = _unknown_numbers(message)
        for field, value in message.ListFields():
            if field.message_type is not None and field.name.endswith("_param"):
                unknown += [f"{field.name}.{number}" for number in _unknown_numbers(value)]
        if unknown:
            self._warnings.append(f"{self._path}: {self._layer}: unknown field {', '.join(unknown)} ignored")

    def _read_blob(self, outer: WireField, index: int) -> Blob:
        place = f"{self._layer}, blob {index}"
        if outer.wire != DELIMITED:
            raise WireError(f"blob {index} is not a message", outer.tag_at)
        small, chunks, doubles, raw = self._split_blob(outer)
        meta = pb.BlobProto()
        try:
            meta.ParseFromString(small)
        except DecodeError:
            raise WireError(f"the shape of blob {index} cannot be read", outer.start) from None
        legacy = any(meta.HasField(f) for f in ("num", "channels", "height", "width"))  # type: ignore[arg-type]
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
        data.flags.writeable = False
        return Blob(data, legacy)

    def _split_blob(
        self, outer: WireField
    ) -> tuple[bytes, list[tuple[int, int, int]], list[tuple[int, int, int]], WireField | None]:
        """Return the small fields' bytes, the spans (start, end, stride) of float and of double data, and raw data.

        Stride 0 is a packed span; otherwise every entry of `stride` bytes is a tag byte and its value.
        """
        small, raw = [], None
        spans: dict[int, list[tuple[int, int, int]]] = {_BLOB_DATA: [], _BLOB_DOUBLE: []}
        at = outer.start
        while at < outer.end:
            field = next(walk_fields(self._buffer, at, outer.end, self._size))
            at = field.end if field.wire != 3 else outer.end
            itemsize = 8 if field.number in (_BLOB_DOUBLE, _BLOB_DOUBLE_DIFF) else 4
            if field.number in (_BLOB_DATA, _BLOB_DOUBLE, _BLOB_DIFF, _BLOB_DOUBLE_DIFF):
                span = (field.start, field.end, 0)
                if field.wire == (FIXED64 if itemsize == 8 else FIXED32):
                    tag, stride = self._buffer[field.tag_at], itemsize + 1
                    at = field.tag_at + stride * count_run(self._buffer, field.tag_at, outer.end, tag, stride)
                    span = (field.tag_at, at, stride)
                elif field.wire != DELIMITED or (field.end - field.start) % itemsize:
                    raise WireError(f"field {field.number} holds no whole {itemsize}-byte values", field.tag_at)
                if field.number in spans:
                    spans[field.number].append(span)
            elif field.number == _BLOB_RAW and field.wire == DELIMITED:
                raw = field
            elif field.number <= _BLOB_RAW_TYPE:
                small.append(self._buffer[field.tag_at : field.end])
        return b"".join(small), spans[_BLOB_DATA], spans[_BLOB_DOUBLE], raw

    def _gather(self, spans: list[tuple[int, int, int]], dtype: str) -> _Floats:
        itemsize = np.dtype(dtype).itemsize
        counts = [(end - start) // (stride or itemsize) for start, end, stride in spans]
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
        return np.frombuffer(self._buffer[field.start : field.end], dtype).astype(np.float32)


def _unknown_numbers(message: Message) -> list[str]:
    fields = unknown_fields.UnknownFieldSet(message)
    return [str(n) for n in sorted({fields[i].field_number for i in range(len(fields))})]


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"
