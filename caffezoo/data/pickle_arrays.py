"""The stack machine for pickles of images: numpy's arrays and bytes become marks, nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from caffezoo.weights.pickle_machine import Machine, Name, Operation
from caffezoo.weights.pickle_reader import OPERATIONS

MAX_OPERATIONS = 50_000_000
_MAX_SCALAR_BYTES = 16
_NUMPY = {
    f"{package}.multiarray.{name}" for package in ("numpy.core", "numpy._core") for name in ("_reconstruct", "scalar")
}
_FROMBUFFER = {"numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"}
_KNOWN = {*_NUMPY, *_FROMBUFFER, "numpy.ndarray", "numpy.dtype", "_codecs.encode", "collections.OrderedDict"}


@dataclass(frozen=True)
class Span:
    """Bytes of the file: [start, start + size)."""

    start: int
    size: int


@dataclass
class ArrayRef:
    """A numpy array that the pickle describes: its type (``|u1``), shape and bytes."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    fortran: bool = False
    content: Span | bytes = b""


@dataclass
class TypeRef:
    """A numpy type that the pickle describes: ``u1`` and its byte order."""

    code: str
    order: str = "|"


class ImageMachine(Machine):
    """Machine for image pickles: knows numpy's arrays and no torch."""

    def __init__(self, data: memoryview, where: str) -> None:
        super().__init__(_IMAGE_OPERATIONS, data, 0, where)
        self.left = MAX_OPERATIONS

    def span(self, size: int) -> None:
        """Push bytes without copying them."""
        if size < 0 or self.at + size > len(self.data):
            self.take(size)  # raises: the pickle ends early
        self.push(Span(self.at, size))
        self.at += size

    def name(self, module: Any, name: Any) -> None:
        path = f"{module}.{name}"[:200]
        if path in ("__builtin__.bytearray", "builtins.bytearray", "builtins.bytes", "__builtin__.bytes"):
            path = "builtins.bytes"
        elif path not in _KNOWN:
            raise self.refuse(f"its pickle calls {path}")
        self.push(Name(path))

    def key(self, key: Any) -> str | int:
        if isinstance(key, Span) and key.size < 64:
            key = bytes(self.data[key.start : key.start + key.size]).decode("latin-1")
        return super().key(key)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise self.refuse("a call of something that is not a name")
        path = function.path
        if path.endswith("._reconstruct"):
            self.push(ArrayRef())
        elif path == "numpy.dtype":
            self.push(TypeRef(self.text(arguments[0])))
        elif path.endswith("multiarray.scalar"):
            self.push(self.scalar(arguments[0], arguments[1]))
        elif path == "_codecs.encode":
            text = arguments[0]
            if not isinstance(text, str):
                raise ValueError("bytes that are no text")
            self.spend(len(text) // 64)
            self.push(text.encode("latin-1"))
        elif path == "builtins.bytes":
            self.push(arguments[0] if arguments else b"")
        elif path in _FROMBUFFER:
            content, kind, shape, order = arguments
            self.push(ArrayRef(_type(kind), _shape(shape), order == "F", content))
        elif path == "collections.OrderedDict":
            self.push({})
        else:
            raise self.refuse(f"its pickle calls {path}")

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, TypeRef) and isinstance(state, tuple):
            target.order = self.text(state[1])
        elif isinstance(target, ArrayRef) and isinstance(state, tuple) and len(state) == 5:
            _, shape, kind, fortran, content = state
            target.dtype, target.shape, target.fortran, target.content = (
                _type(kind),
                _shape(shape),
                bool(fortran),
                content,
            )
        elif not isinstance(target, dict):
            raise self.refuse("a state set on something that is not an array")

    def scalar(self, kind: Any, content: Any) -> int:
        value = np.frombuffer(self.content(content)[:_MAX_SCALAR_BYTES], np.dtype(_type(kind)))
        if value.size != 1 or value.dtype.kind not in "iu":
            raise ValueError("a numpy scalar that is no whole number")
        return int(value[0])

    def content(self, content: Any) -> bytes:
        if isinstance(content, Span):
            return bytes(self.data[content.start : content.start + content.size])
        if not isinstance(content, bytes):
            raise ValueError("an array without bytes")
        return content

    def text(self, value: Any) -> str:
        return value if isinstance(value, str) else self.content(value).decode("ascii")


def _span(form: str) -> Operation:
    def operation(m: Machine) -> None:
        assert isinstance(m, ImageMachine)
        m.span(m.number(form))

    return operation


_IMAGE_OPERATIONS: dict[int, Operation] = {
    **OPERATIONS,
    0x43: _span("B"),  # SHORT_BINBYTES
    0x42: _span("<I"),  # BINBYTES
    0x8E: _span("<Q"),  # BINBYTES8
    0x55: _span("B"),  # SHORT_BINSTRING: bytes of Python 2
    0x54: _span("<i"),  # BINSTRING
    0x96: _span("<Q"),  # BYTEARRAY8
    0x89: lambda m: m.push(False),
}
_IMAGE_OPERATIONS.pop(0x51)  # no persistent ids here


def _type(kind: Any) -> str:
    if not isinstance(kind, TypeRef):
        raise ValueError("an array without type")
    order = kind.order if kind.order in "<>|=" else "|"
    return f"{order}{kind.code}"


def _shape(shape: Any) -> tuple[int, ...]:
    if (
        not isinstance(shape, tuple)
        or len(shape) > 8
        or not all(isinstance(n, int) and 0 <= n < 1 << 40 for n in shape)
    ):
        raise ValueError("an array with a shape that cannot be")
    return shape
