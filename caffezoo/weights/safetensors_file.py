"""Read a ``.safetensors`` file: a length, a JSON header, the numbers.

The format: 8 bytes, little-endian, say how long the header is; the header is a JSON object from tensor name to
``dtype``, ``shape`` and ``data_offsets`` (begin and end, counted from the header's end), with ``__metadata__`` as the
one other key; the tensors fill the rest without gap or overlap. Source: README.md of the huggingface/safetensors
repository, section Format, which also limits the header to 100 MB.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from os import PathLike
from typing import Any

import numpy as np

from caffezoo.errors import WeightsFileError
from caffezoo.weights.torch_file import read_state_dict

MAX_HEADER_BYTES = 16 << 20  # a published file's header has some 100 bytes a tensor
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 16
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|u1",
}


def read_torch_tensors(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read a state dict of PyTorch, of ``torch.save`` or of safetensors, whichever the first bytes say it is."""
    return read_safetensors(path) if is_safetensors(path) else read_state_dict(path)


def is_safetensors(path: str | PathLike[str]) -> bool:
    """Whether a file begins as one: a length below the limit, and then a brace. False where it cannot be read."""
    try:
        with open(path, "rb") as handle:
            head = handle.read(9)
    except OSError:
        return False
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] <= MAX_HEADER_BYTES


def read_safetensors(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read all tensors.

    Returns
    -------
    dict of str to ndarray
        By name, in the file's order: read-only views of the file, which stays mapped as long as one lives; bfloat16
        becomes float32, exactly.

    Raises
    ------
    WeightsFileError
        Not such a file, truncated, or its header is not what the format allows.
    """
    name = str(path)
    try:
        with open(path, "rb") as handle:
            if not handle.read(1):
                raise WeightsFileError("the file is empty", where=name, hint="fetch it again")
            data = memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise WeightsFileError(f"cannot be read: {error.strerror or error}", where=name) from error
    header, start = _header(data, name)
    entries = [(key, *_entry(key, value, name)) for key, value in header.items() if key != "__metadata__"]
    if not entries:
        raise WeightsFileError("it holds no tensors", where=name)
    _check_places(entries, len(data) - start, name)
    return {key: _array(data[start + begin : start + end], dtype, shape) for key, dtype, shape, begin, end in entries}


def _header(data: memoryview, where: str) -> tuple[dict[str, Any], int]:
    if len(data) < 8:
        raise WeightsFileError("the file ends early, in its header", where=where, hint="fetch it again")
    (size,) = struct.unpack("<Q", data[:8])
    if size > MAX_HEADER_BYTES:
        message = f"not a safetensors file: its header would have {size} bytes, more than {MAX_HEADER_BYTES}"
        raise WeightsFileError(message, where=where)
    if 8 + size > len(data):
        raise WeightsFileError("the file ends early, in its header", where=where, hint="fetch it again")
    try:
        header = json.loads(bytes(data[8 : 8 + size]).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        text = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise WeightsFileError(f"its header is not JSON: {text}", where=where) from error
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise WeightsFileError("its header is not a table of tensors", where=where)
    return header, 8 + size


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _entry(key: str, value: Any, where: str) -> tuple[str, tuple[int, ...], int, int]:
    """Return dtype, shape, begin and end of one tensor."""
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise WeightsFileError(f"tensor {key[:80]!r} is not dtype, shape and data_offsets", where=where)
    dtype, shape, place = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise WeightsFileError(f"tensor {key[:80]!r} has dtype {str(dtype)[:20]}, which is not read here", where=where)
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS or not _are_sizes(place) or len(place) != 2:
        raise WeightsFileError(f"tensor {key[:80]!r} has a shape or a place that cannot be", where=where)
    wanted = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if place[1] - place[0] != wanted:
        message = f"tensor {key[:80]!r} has {place[1] - place[0]} bytes where shape {shape} wants {wanted}"
        raise WeightsFileError(message[:300], where=where)
    return dtype, tuple(shape), place[0], place[1]


def _are_sizes(value: Any) -> bool:
    """Whether a value is a list of whole numbers of at least 0 and below 2**48."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 48 for n in value)


def _check_places(entries: list[tuple[str, str, tuple[int, ...], int, int]], size: int, where: str) -> None:
    """Tensors lie one behind the other and end where the file ends."""
    at = 0
    for key, _, _, begin, end in sorted(entries, key=lambda entry: entry[3:]):
        if begin != at:
            what = "overlaps another" if begin < at else "leaves a gap before it"
            raise WeightsFileError(f"tensor {key[:80]!r} {what}, at byte {begin}", where=where)
        at = end
    if at > size:
        message = f"the file ends early: its tensors have {at} bytes, it has {size}"
        raise WeightsFileError(message, where=where, hint="fetch it again")
    if at < size:
        raise WeightsFileError(f"{size - at} bytes behind its last tensor belong to none", where=where)


def _array(data: memoryview, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    if dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        wide = np.empty(shape, np.uint32)
        np.left_shift(array, np.uint32(16), out=wide, dtype=np.uint32)
        array = wide.view(np.float32)
    elif dtype == "BOOL":
        array = np.asarray(array != 0)
    return array
