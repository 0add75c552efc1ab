"""Read the state dict of a ``torch.save`` file without torch, and without executing anything.

Both formats of ``torch.save`` are read. Zip (torch 1.6 and later): a zip of stored members, ``NAME/data.pkl`` for
the structure, ``NAME/data/KEY`` for each storage. Legacy: four pickles (a magic number, the protocol, the writer's
machine, the structure), a pickled list of storage keys, then for each key its element count (int64) and its
elements. Source: the writer, ``torch/serialization.py`` of torch 2.x (``_save``, ``_legacy_save``).
"""

from __future__ import annotations

import math
import mmap
import struct
import zipfile
import zlib
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from caffezoo.errors import WeightsFileError
from caffezoo.formats.signature import identify
from caffezoo.weights.archive import MALFORMED, MAX_HEADER_BYTES, BoundedReads
from caffezoo.weights.pickle_machine import StorageRef, TensorRef
from caffezoo.weights.pickle_reader import read_pickle

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
MAX_PICKLE_BYTES = 32 << 20
MAX_VIEWS_PER_BYTE = 4  # tied weights share a storage; no honest file holds every byte four times
MAX_EMPTY_ELEMENTS = 1 << 40
_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_NESTED_KEYS = ("state_dict", "model")  # where training scripts put the state dict among other things
_ITEM_BYTES = {"bfloat16": 2, "bool": 1}


def read_state_dict(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read a state dict.

    Parameters
    ----------
    path : path
        A file written by ``torch.save``: a state dict, or a dict that holds one under ``state_dict`` or ``model``.

    Returns
    -------
    dict of str to ndarray
        Tensors by name, in the file's order; values that are no tensors are left out. The arrays are read-only
        views of the file (which stays mapped as long as one lives) in the file's dtype; bfloat16 becomes float32,
        exactly.

    Raises
    ------
    WeightsFileError
        Not such a file, truncated, or it holds what a state dict has no need of.
    """
    name = str(path)
    try:
        with open(path, "rb") as handle:
            head = handle.read(32)
            if not head:
                raise WeightsFileError("the file is empty", where=name, hint="fetch it again")
            data = memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise WeightsFileError(f"cannot be read: {error.strerror or error}", where=name) from error
    if head.startswith(_LEGACY_START):
        value, storages = _read_legacy(data, name)
    elif head.startswith(b"PK\x03\x04"):
        value, storages = _read_zip(Path(path), data, name)
    else:
        found = identify(path) or "of an unknown kind"
        raise WeightsFileError(f"not a torch file: it is {found}", where=name)
    return _tensors(value, storages, len(data), name)


class _Storages:
    """The blocks of numbers of one file, by key: where each lies and in which byte order."""

    def __init__(self, data: memoryview, where: str, byte_order: Literal["<", ">"]) -> None:
        self.data = data
        self.where = where
        self.byte_order = byte_order
        self._places: dict[str, tuple[int, int]] = {}

    def add(self, key: str, start: int, size_bytes: int) -> None:
        if start < 0 or start + size_bytes > len(self.data):
            raise WeightsFileError(
                f"the file ends early: storage {key[:40]!r} ends at byte {start + size_bytes} of {len(self.data)}",
                where=self.where,
                hint="fetch it again",
            )
        self._places[key] = (start, size_bytes)

    def elements(self, ref: StorageRef) -> np.ndarray:
        """Return a storage as a vector: bfloat16 as its bits (uint16)."""
        if ref.key not in self._places:
            raise WeightsFileError(f"storage {ref.key[:40]!r} is not in the file", where=self.where)
        start, size = self._places[ref.key]
        if size != ref.count * _item_bytes(ref.dtype):
            raise WeightsFileError(
                f"storage {ref.key[:40]!r} has {size} bytes where {ref.count} elements of {ref.dtype} are wanted",
                where=self.where,
            )
        dtype = np.dtype({"bfloat16": "uint16", "bool": "uint8"}.get(ref.dtype, ref.dtype)).newbyteorder(
            self.byte_order
        )
        return np.frombuffer(self.data[start : start + size], dtype)


def _item_bytes(dtype: str) -> int:
    return _ITEM_BYTES.get(dtype) or np.dtype(dtype).itemsize


def _read_legacy(data: memoryview, where: str) -> tuple[Any, _Storages]:
    head = data[: MAX_PICKLE_BYTES * 2]
    magic = read_pickle(head, 0, where)
    protocol = read_pickle(head, magic.end, where)
    machine = read_pickle(head, protocol.end, where)
    if magic.value != MAGIC_NUMBER or protocol.value != 1001 or not isinstance(machine.value, dict):
        raise WeightsFileError("a torch file of an unknown legacy version", where=where)
    structure = read_pickle(head, machine.end, where)
    listed = read_pickle(head, structure.end, where)
    keys, at = listed.value, listed.end
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
        raise WeightsFileError("its list of storages is malformed", where=where)
    storages = _Storages(data, where, "<" if machine.value.get("little_endian", True) else ">")
    wanted = structure.storages
    for key in keys:
        if key not in wanted:
            # The size of an element is known only from the structure.
            raise WeightsFileError(f"storage {key[:40]!r} belongs to no tensor", where=where)
        if at + 8 > len(data):
            raise WeightsFileError("the file ends early, in its storages", where=where, hint="fetch it again")
        (count,) = struct.unpack_from(storages.byte_order + "q", data, at)
        if count != wanted[key].count:
            raise WeightsFileError(f"storage {key[:40]!r} has {count} elements, not {wanted[key].count}", where=where)
        size = count * _item_bytes(wanted[key].dtype)
        storages.add(key, at + 8, size)
        at += 8 + size
    return structure.value, storages


def _read_zip(path: Path, data: memoryview, where: str) -> tuple[Any, _Storages]:
    try:
        with open(path, "rb") as raw, zipfile.ZipFile(BoundedReads(raw, max_read_bytes=MAX_HEADER_BYTES)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if len(members) != len(archive.infolist()):
                raise ValueError("two members have one name")
    except MALFORMED as error:
        raise WeightsFileError(f"malformed zip: {error}", where=where, hint="fetch it again") from error
    pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsFileError("a zip file, but not one of torch.save: it has no data.pkl", where=where)
    prefix = pickles[0].removesuffix("data.pkl")
    if prefix + "constants.pkl" in members:
        raise WeightsFileError("a TorchScript program, not a state dict", where=where, hint="save its state_dict()")
    order = members.get(prefix + "byteorder")
    text = _member(data, order, where) if order is not None else b"little"
    if bytes(text) not in (b"little", b"big"):
        raise WeightsFileError("its byte order is neither little nor big", where=where)
    structure = _member(data, members[pickles[0]], where)
    if len(structure) > MAX_PICKLE_BYTES:
        raise WeightsFileError(f"its structure has {len(structure)} bytes, more than {MAX_PICKLE_BYTES}", where=where)
    content = read_pickle(structure, 0, where)
    storages = _Storages(data, where, "<" if bytes(text) == b"little" else ">")
    for key in content.storages:
        if (info := members.get(f"{prefix}data/{key}")) is not None:
            storages.add(key, _checked_start(data, info, where), info.file_size)
    return content.value, storages


def _content_start(data: memoryview, info: zipfile.ZipInfo, where: str) -> int:
    """Return where a stored member's content begins, from its local header (30 bytes, name, extra field)."""
    at = info.header_offset
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
        raise WeightsFileError(f"{info.filename[:80]!r} is compressed or encrypted; torch stores", where=where)
    if at < 0 or at + 30 > len(data) or bytes(data[at : at + 4]) != b"PK\x03\x04":
        raise WeightsFileError(f"{info.filename[:80]!r} is not where the zip's directory says", where=where)
    name_bytes, extra_bytes = struct.unpack_from("<HH", data, at + 26)
    start = int(at + 30 + name_bytes + extra_bytes)
    if start + info.file_size > len(data):
        raise WeightsFileError(f"the file ends early, in {info.filename[:80]!r}", where=where, hint="fetch it again")
    return start


def _checked_start(data: memoryview, info: zipfile.ZipInfo, where: str) -> int:
    start = _content_start(data, info, where)
    if zlib.crc32(data[start : start + info.file_size]) != info.CRC:
        raise WeightsFileError(f"{info.filename[:80]!r} is damaged (CRC)", where=where, hint="fetch it again")
    return start


def _member(data: memoryview, info: zipfile.ZipInfo, where: str) -> memoryview:
    start = _checked_start(data, info, where)
    return data[start : start + info.file_size]


def _candidates(value: Any) -> dict[Any, Any]:
    """Return the dict that holds the tensors: the value itself, or what lies under a usual key of it."""
    if not isinstance(value, dict):
        return {}
    for key in _NESTED_KEYS:
        if isinstance(nested := value.get(key), dict):
            return nested
    return value


def _tensors(value: Any, storages: _Storages, file_bytes: int, where: str) -> dict[str, np.ndarray]:
    found = {k: v for k, v in _candidates(value).items() if isinstance(v, TensorRef)}
    if not found or not all(isinstance(key, str) for key in found):
        what = f"a {type(value).__name__}" if not isinstance(value, dict) else "a dict without named tensors"
        raise WeightsFileError(f"a torch file, but it holds {what}, not a state dict", where=where)
    budget = MAX_VIEWS_PER_BYTE * file_bytes
    out = {}
    for key, ref in found.items():
        budget -= math.prod(ref.shape) * _item_bytes(ref.storage.dtype)
        if budget < 0:
            raise WeightsFileError(f"its tensors claim more than {MAX_VIEWS_PER_BYTE} times the file", where=where)
        out[key] = _view(storages, key, ref)
    return out


def _view(storages: _Storages, key: str, ref: TensorRef) -> np.ndarray:
    count = math.prod(ref.shape)
    last = ref.offset + sum((n - 1) * s for n, s in zip(ref.shape, ref.strides, strict=True)) if count else ref.offset
    if count > ref.storage.count or (count and last >= ref.storage.count) or ref.offset > ref.storage.count:
        raise WeightsFileError(
            f"tensor {key[:80]!r} reaches outside its storage: shape {list(ref.shape)}, strides {list(ref.strides)}, "
            f"offset {ref.offset}, {ref.storage.count} elements",
            where=storages.where,
        )
    elements = storages.elements(ref.storage)
    if not count:
        if math.prod(n for n in ref.shape if n) > MAX_EMPTY_ELEMENTS:  # NumPy refuses them too, even times 0
            raise WeightsFileError(f"tensor {key[:80]!r} has a size that cannot be", where=storages.where)
        array = np.empty(ref.shape, elements.dtype)
    else:
        steps = tuple(0 if n == 1 else s * elements.itemsize for n, s in zip(ref.shape, ref.strides, strict=True))
        array = np.lib.stride_tricks.as_strided(elements[ref.offset :], ref.shape, steps, writeable=False)
    if ref.storage.dtype == "bfloat16":
        # A bfloat16 is the upper half of a float32.
        return np.asarray(array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.asarray(array != 0) if ref.storage.dtype == "bool" else array
