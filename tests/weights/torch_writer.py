"""Writes torch files without torch: an assembler of the few pickle opcodes that torch.save uses, both containers."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

PROTOCOL_2 = b"\x80\x02"
STOP = b"."
STORAGE = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


@dataclass(frozen=True)
class Tensor:
    """A tensor to write: a view of storage ``key``."""

    key: str
    dtype: str
    count: int
    shape: Sequence[int]
    strides: Sequence[int]
    offset: int = 0


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def group(*items: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(items) + b"t"


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + group(*arguments) + b"R"


def mapping(items: Mapping[str, bytes]) -> bytes:
    body = b"".join(text(key) + value for key, value in items.items())
    return call(name("collections", "OrderedDict")) + b"(" + body + b"u"


def storage(tensor: Tensor) -> bytes:
    kind = name("torch", STORAGE[tensor.dtype])
    return group(text("storage"), kind, text(tensor.key), text("cpu"), integer(tensor.count)) + b"Q"


def tensor(t: Tensor) -> bytes:
    sizes = group(*map(integer, t.shape)), group(*map(integer, t.strides))
    hooks = call(name("collections", "OrderedDict"))
    return call(name("torch._utils", "_rebuild_tensor_v2"), storage(t), integer(t.offset), *sizes, b"\x89", hooks)


def pickled(value: bytes) -> bytes:
    return PROTOCOL_2 + value + STOP


def state_dict(tensors: Mapping[str, Tensor]) -> bytes:
    """The pickle of a state dict, with the ``_metadata`` that modules leave on it."""
    metadata = b"}" + text("_metadata") + b"}s" + b"b"
    return pickled(mapping({key: tensor(t) for key, t in tensors.items()}) + metadata)


def zip_file(structure: bytes, storages: Mapping[str, bytes], *, extra: Mapping[str, bytes] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("net/data.pkl", structure)
        for key, value in (extra or {}).items():
            archive.writestr(f"net/{key}", value)
        for key, value in storages.items():
            archive.writestr(f"net/data/{key}", value)
        archive.writestr("net/version", b"3\n")
    return out.getvalue()


def legacy_file(structure: bytes, storages: Mapping[str, tuple[int, bytes]]) -> bytes:
    """``storages``: element count and bytes by key."""
    machine = b"}(" + text("protocol_version") + integer(1001) + text("little_endian") + b"\x88u"
    keys = b"](" + b"".join(map(text, storages)) + b"e"
    parts = [
        pickled(b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"),
        pickled(integer(1001)),
        pickled(machine),
        structure,
        pickled(keys),
    ]
    return b"".join(parts) + b"".join(struct.pack("<q", count) + data for count, data in storages.values())


def files_of(arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Write arrays in both formats, transposed ones as views of contiguous storages."""
    tensors, blocks = {}, {}
    for i, (key, array) in enumerate(arrays.items()):
        base = np.array(array, order="C") if array.base is None or not array.size else array.base
        view = array if base is array.base else base
        strides = [s // array.itemsize for s in view.strides]
        tensors[key] = Tensor(str(i), str(array.dtype), base.size, array.shape, strides)
        blocks[str(i)] = (base.size, base.tobytes())
    structure = state_dict(tensors)
    return {
        "zip": zip_file(structure, {key: data for key, (_, data) in blocks.items()}),
        "legacy": legacy_file(structure, blocks),
    }
