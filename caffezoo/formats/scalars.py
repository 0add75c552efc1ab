"""Scalar values of protobuf's text format: from token to Python value, and back to text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from caffezoo.errors import nearest

_INTEGER_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
_TRUE = {"true", "True", "t", "1"}
_FALSE = {"false", "False", "f", "0"}
_FLOAT_NAMES = {"inf", "infinity", "nan", "-inf", "-infinity", "-nan"}
_MAX_DIGITS = 64
FEW_NAMES = 8
"""Names of an enum up to which a message lists them all."""

_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_SIMPLE |= {"\\": "\\", "'": "'", '"': '"', "?": "?"}
_UNSAFE = re.compile(r'["\\\x00-\x1f\x7f]')
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


class ScalarError(ValueError):
    """A token that is no value of the field's type; the parser adds file and line."""


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether `field` is repeated; the descriptors of protobuf 5 have `label` for it, newer ones a flag."""
    flag = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if flag is None else flag)  # type: ignore[attr-defined]


def scalar_converter(cpp_type: int, wire_type: int, enum: EnumDescriptor | None) -> Callable[[str, str], Any]:
    """Return the function (token kind, token text) -> value for a field of this type.

    Token kinds are ``name``, ``number`` and ``string``; a number or name may carry a leading ``-``; adjacent strings
    come joined by newlines.
    """
    if enum is not None:
        return _enum_converter(enum)
    if cpp_type in _INTEGER_RANGES:
        low, high = _INTEGER_RANGES[cpp_type]
        return lambda kind, text: _integer(kind, text, low, high)
    if cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return _float
    if cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _bool
    return _bytes if wire_type == FieldDescriptor.TYPE_BYTES else _string


def _parse_integer(kind: str, text: str) -> int:
    digits = text.removeprefix("-")
    if kind != "number" or len(digits) > _MAX_DIGITS:
        raise ScalarError(f"expected an integer, found '{text[:40]}'")
    try:
        if digits[:2] in ("0x", "0X"):
            value = int(digits, 16)
        else:
            value = int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)
    except ValueError:
        raise ScalarError(f"expected an integer, found '{text}'") from None
    return -value if text[0] == "-" else value


def _integer(kind: str, text: str, low: int, high: int) -> int:
    value = _parse_integer(kind, text)
    if not low <= value <= high:
        raise ScalarError(f"{text} is outside of {low}..{high}")
    return value


def _float(kind: str, text: str) -> float:
    if kind == "number" and text.removeprefix("-")[:2] not in ("0x", "0X"):
        return float(text.rstrip("fF"))
    if kind == "name" and text.lower() in _FLOAT_NAMES:
        return float(text)
    raise ScalarError(f"expected a number, found '{text[:40]}'")


def _bool(kind: str, text: str) -> bool:
    if kind != "string":
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
    raise ScalarError(f"expected true or false, found '{text[:40]}'")


def _enum_converter(enum: EnumDescriptor) -> Callable[[str, str], int]:
    by_name: dict[str, int] = {value.name: value.number for value in enum.values}
    numbers = set(by_name.values())

    def convert(kind: str, text: str) -> int:
        if kind == "name" and text in by_name:
            return by_name[text]
        if kind == "number":
            number = _parse_integer(kind, text)
            if number in numbers:
                return number
        if len(by_name) <= FEW_NAMES:
            raise ScalarError(f"'{text[:40]}' is none of {', '.join(by_name)}")
        close = nearest(text[:40], tuple(by_name))
        near = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ScalarError(f"'{text[:40]}' is no {enum.name}{near}")

    return convert


def _bytes(kind: str, text: str) -> bytes:
    if kind != "string":
        raise ScalarError(f"expected a quoted string, found '{text[:40]}'")
    joined = bytearray()
    for literal in text.split("\n"):
        body, at = literal[1:-1], 0
        for match in _ESCAPE.finditer(body):
            joined += body[at : match.start()].encode("utf-8", "surrogateescape")
            joined += _unescape(match)
            at = match.end()
        joined += body[at:].encode("utf-8", "surrogateescape")
    return bytes(joined)


def _unescape(match: re.Match[str]) -> bytes:
    octal, hexadecimal, short, long, simple = match.groups()
    if octal or hexadecimal:
        value = int(octal, 8) if octal else int(hexadecimal, 16)
        if value > 255:
            raise ScalarError(f"escape '{match[0]}' is larger than a byte")
        return bytes([value])
    if simple is not None:
        if simple not in _SIMPLE:
            raise ScalarError(f"unknown escape '{match[0]}'")
        return _SIMPLE[simple].encode()
    try:
        return chr(int(short or long, 16)).encode("utf-8")
    except (ValueError, OverflowError):
        raise ScalarError(f"escape '{match[0]}' is no character") from None


def _string(kind: str, text: str) -> str:
    if kind == "string" and "\\" not in text and "\n" not in text and text.isascii():
        return text[1:-1]
    try:
        return _bytes(kind, text).decode("utf-8")
    except UnicodeDecodeError:
        raise ScalarError("the string is not UTF-8") from None


def format_float32(value: float) -> str:
    """Shortest decimal text that reads back as the same float32; whole numbers without a point."""
    import numpy as np  # here, because reading a prototxt needs no NumPy and its import takes longer than the reading

    return str(np.float32(value)).removesuffix(".0")


def format_float64(value: float) -> str:
    """Shortest decimal text that reads back as the same float64; whole numbers without a point."""
    return repr(float(value)).removesuffix(".0")


def quote_string(value: str) -> str:
    """`value` in double quotes; control characters, quotes and backslashes escaped, other characters kept."""
    return '"' + _UNSAFE.sub(lambda m: _NAMED.get(m[0]) or f"\\{ord(m[0]):03o}", value) + '"'


def quote_bytes(value: bytes) -> str:
    """`value` in double quotes, every byte that is not printable ASCII as three octal digits."""
    text = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in value)
    return f'"{text}"'
