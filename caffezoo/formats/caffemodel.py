"""Binary weights files (`.caffemodel`): read without a parser's copies, with the offset of what is wrong in them."""

from __future__ import annotations

import io
import mmap
from itertools import islice
from os import PathLike, fspath
from pathlib import Path

from google.protobuf import unknown_fields
from google.protobuf.message import DecodeError, Message

from caffezoo.errors import WeightsFileError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.blob_reader import BlobReader
from caffezoo.formats.blobs import Blob, LayerBlobs, WeightsFile
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.legacy_v0 import V0_TYPES
from caffezoo.formats.signature import HDF5_NAME, identify, remedy
from caffezoo.formats.stored_array import CAN_READ_LATER, MIN_FILE_BYTES, KeptFile
from caffezoo.formats.upgrade import TYPE_OF_V1_NUMBER, V1_TYPE_NAMES
from caffezoo.formats.wire import DELIMITED, VARINT, WireError, WireField, walk_fields

__all__ = ["Blob", "LayerBlobs", "WeightsFile", "read_weights", "write_caffemodel"]

# No published file comes near these; they keep a hostile one from costing many times its size in small objects.
MAX_LAYERS = 20_000
MAX_FIELDS = 10_000
MAX_SMALL_BYTES = 1 << 20
_NET_FIELDS = {0x0A, 0x12, 0x1A, 0x20, 0x22, 0x28, 0x32, 0x38, 0x42, 0xA2}
_TEXT = bytes([9, 10, 13, *range(32, 127)])

# Field numbers of caffe.proto.
_NET_V1_LAYER, _NET_LAYER = 2, 100
_LAYER_NAME, _LAYER_TYPE, _LAYER_BLOBS = 1, 2, 7
_V1_V0_LAYER, _V1_NAME, _V1_TYPE, _V1_BLOBS = 1, 4, 5, 6
_V0_NAME, _V0_TYPE, _V0_BLOBS = 1, 2, 50


def read_weights(path: str | PathLike[str], *, values: bool = True, later: bool = False) -> WeightsFile:
    """Read a caffemodel or an HDF5 weights file, whichever the first bytes say it is.

    Parameters
    ----------
    path : path
    values : bool
        False checks all the same but leaves a caffemodel's values on the disk: blobs have their shapes and read 0.
    later : bool
        Values of large blobs of large caffemodels may be read when they are asked for; see
        :mod:`~caffezoo.formats.stored_array`.

    Raises
    ------
    WeightsFileError
        The file cannot be opened, is something else (which is named), is truncated (with the byte offset) or holds
        a blob whose shape and values disagree.
    """
    name = fspath(path)
    if Path(name).exists() and not Path(name).is_file():
        raise WeightsFileError("this is no regular file", where=name)
    try:
        foreign = identify(name)
        if foreign == HDF5_NAME:
            from caffezoo.formats.hdf5 import read_hdf5

            return read_hdf5(name)
        foreign = foreign or _identify_text(name)
        if foreign is not None:
            raise WeightsFileError(f"this is no caffemodel but {foreign}", where=name, hint=remedy(foreign))
        with (
            Path(name).open("rb", buffering=0) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer,
        ):
            kept = None
            if later and values and CAN_READ_LATER and len(buffer) >= MIN_FILE_BYTES:
                kept = KeptFile(name, file.fileno())
            return _Reader(name, buffer, file, values, kept).read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise WeightsFileError(f"cannot read the weights: {reason}", where=name) from None


class _Reader:
    """One reading of one file."""

    def __init__(
        self, path: str, buffer: mmap.mmap, file: io.FileIO, values: bool, kept: KeptFile | None = None
    ) -> None:
        self._path = path
        self._buffer = buffer
        self._blobs = BlobReader(path, buffer, file, values, kept)
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
                if len(layers) == MAX_LAYERS:
                    raise WireError(f"more than {MAX_LAYERS} layers", field.tag_at)
                layers.append(self._read_layer(field, len(layers)))
        except WireError as error:
            raise self._wire_error(error) from None
        if not layers:
            raise self._error("no layers in it: this is no caffemodel, or one of a net without layers")
        if len(forms) > 1:
            raise self._error("it mixes 'layer' and 'layers' entries, which Caffe refuses")
        return WeightsFile(self._path, "caffemodel", tuple(layers), tuple(self._warnings))

    def _error(self, message: str, hint: str | None = None) -> WeightsFileError:
        return WeightsFileError(message, where=self._path, hint=hint)

    def _wire_error(self, error: WireError) -> WeightsFileError:
        place = f"byte {error.offset} of {self._size}"
        # Only the outermost fields can reach beyond the file, so a truncation lies behind the layer that came last.
        if self._layer:
            place += f", {'after' if error.truncated else 'in'} {self._layer}"
        if error.truncated and (self._layer or self._buffer[0] in _NET_FIELDS):
            return self._error(f"truncated at {place}: {error}", "fetch the file again")
        return self._error(f"this is no caffemodel, or a damaged one, at {place}: {error}", "fetch the file again")

    def _fields(self, outer: WireField) -> list[WireField]:
        fields = list(islice(walk_fields(self._buffer, outer.start, outer.end, self._size), MAX_FIELDS + 1))
        if len(fields) > MAX_FIELDS:
            raise WireError(f"a layer of more than {MAX_FIELDS} fields", outer.start)
        return fields

    def _text(self, field: WireField) -> str:
        if field.wire != DELIMITED or field.end - field.start > MAX_SMALL_BYTES:
            raise WireError(f"field {field.number} is not text", field.tag_at)
        return self._buffer[field.start : field.end].decode("utf-8", "backslashreplace")

    def _read_layer(self, outer: WireField, index: int) -> LayerBlobs:
        self._layer = f"layer number {index}"
        fields = self._fields(outer)
        if outer.number == _NET_LAYER:
            name, type_ = self._name_and_type(fields, _LAYER_NAME, _LAYER_TYPE)
            blobs = [f for f in fields if f.number == _LAYER_BLOBS]
            self._warn_unknown(pb.LayerParameter(), fields, _LAYER_BLOBS)
        else:
            name, type_, blobs = self._read_v1(fields)
        self._layer = f"layer '{name}'"
        places = (f"{self._layer}, blob {i}" for i in range(len(blobs)))
        return LayerBlobs(name, type_, tuple(map(self._blobs.read, blobs, places)))

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
        spans = [(f.tag_at, f.end) for f in fields if f.number != blobs]
        if sum(end - start for start, end in spans) > MAX_SMALL_BYTES:
            raise WireError(f"more than {MAX_SMALL_BYTES} bytes of parameters", spans[0][0])
        small = b"".join(self._buffer[start:end] for start, end in spans)
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


def _unknown_numbers(message: Message) -> list[str]:
    fields = unknown_fields.UnknownFieldSet(message)
    return [str(n) for n in sorted({fields[i].field_number for i in range(len(fields))})]


def _identify_text(path: str) -> str | None:
    """Say that a file is text where no byte of its start is anything else; a caffemodel has tags that are not."""
    with Path(path).open("rb") as file:
        head = file.read(256)
    if head.translate(None, _TEXT):
        return None
    return f"text that begins with '{' '.join(head[:40].decode('ascii').split())}'"
