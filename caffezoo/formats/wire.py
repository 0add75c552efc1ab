"""Protobuf's wire format: a walk over the fields of a message that copies nothing, and the bytes of a few field types.

The walk is our own because protobuf's parser needs 2 GB messages whole in memory, copies every float, and drops what
Caffe's files need most: the byte offset where a truncated file ends.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

VARINT, FIXED64, DELIMITED, GROUP_START, GROUP_END, FIXED32 = range(6)
MAX_GROUP_DEPTH = 32
_MAX_VARINT_BYTES = 10

Buffer = bytes | mmap.mmap


class WireError(ValueError):
    """Bytes that are no protobuf message; `offset` is where, `truncated` whether the buffer only ends too early."""

    def __init__(self, message: str, offset: int, *, truncated: bool = False) -> None:
        super().__init__(message)
        self.offset = offset
        self.truncated = truncated


class WireField(NamedTuple):
    """One field: its number and wire type, the offset of its tag, and the span [start, end) of its value.

    For a varint `value` is the number itself; for the others it is 0. The span of a group holds its end tag.
    """

    number: int
    wire: int
    tag_at: int
    start: int
    end: int
    value: int


def read_varint(buffer: Buffer, at: int, end: int) -> tuple[int, int]:
    """Return the varint at `at` and the offset behind it."""
    result = shift = 0
    limit = min(end, at + _MAX_VARINT_BYTES)
    start = at
    while at < limit:
        byte = buffer[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    if at < start + _MAX_VARINT_BYTES:
        raise WireError("the data end inside a number", at, truncated=True)
    raise WireError("a number has more than 10 bytes", start)


def walk_fields(buffer: Buffer, at: int, end: int, size: int) -> Iterator[WireField]:
    """Yield the fields of the message in ``buffer[at:end]``.

    Parameters
    ----------
    size : int
        Length of the whole buffer in bytes: a field that ends beyond it means a truncated file, one that ends beyond
        `end` only a damaged one.

    Raises
    ------
    WireError
    """
    groups: list[int] = []
    group_start = group_tag = at
    while at < end:
        tag_at = at
        tag, at = read_varint(buffer, at, end)
        number, wire = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29:
            raise WireError(f"field number {number} cannot be", tag_at)
        start, value = at, 0
        if wire == VARINT:
            value, at = read_varint(buffer, at, end)
        elif wire == DELIMITED:
            length, start = read_varint(buffer, at, end)
            at = start + length
        elif wire == FIXED32:
            at += 4
        elif wire == FIXED64:
            at += 8
        elif wire == GROUP_START:
            if not groups:
                group_start, group_tag = at, tag_at
            groups.append(number)
            if len(groups) > MAX_GROUP_DEPTH:
                raise WireError(f"groups nest more than {MAX_GROUP_DEPTH} deep", tag_at)
            continue
        elif wire == GROUP_END:
            if not groups or groups.pop() != number:
                raise WireError("a group ends that was not begun", tag_at)
            if not groups:
                yield WireField(number, GROUP_START, group_tag, group_start, at, 0)
            continue
        else:
            raise WireError(f"wire type {wire} cannot be", tag_at)
        if at > end:
            raise WireError(
                f"field {number} needs {at - start} bytes, {end - start} are left", start, truncated=at > size
            )
        if not groups:
            yield WireField(number, wire, tag_at, start, at, value)
    if groups:
        raise WireError(f"group {groups[-1]} does not end", end, truncated=end == size)


def count_run(buffer: Buffer, at: int, end: int, tag: int, stride: int) -> int:
    """Number of consecutive entries of `stride` bytes from `at` on that start with the byte `tag`.

    Unpacked floats are such entries, millions of them; they are looked at in windows that grow, so that a run costs
    time in proportion to its own length.
    """
    possible = (end - at) // stride
    run, window = 0, 64
    while run < possible:
        window = min(window, possible - run)
        entries = np.frombuffer(buffer, np.uint8, window * stride, at + run * stride).reshape(window, stride)
        different = np.flatnonzero(entries[:, 0] != tag)
        if different.size:
            return run + int(different[0])
        run += window
        window *= 4
    return run


def encode_varint(value: int) -> bytes:
    """`value` (not negative) as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_tag(number: int, wire: int) -> bytes:
    """The tag of a field."""
    return encode_varint(number << 3 | wire)
