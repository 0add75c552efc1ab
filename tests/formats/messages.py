"""Random protobuf messages for hypothesis, drawn by descriptor, and the one way in which a reading may fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from caffezoo.errors import FormatError
from caffezoo.formats.scalars import is_repeated

_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Values of a scalar field; NaN is left out because it equals nothing."""
    kind = field.cpp_type
    if field.enum_type is not None:
        return st.sampled_from([v.number for v in field.enum_type.values])
    if kind in _RANGES:
        low, high = _RANGES[kind]
        return st.integers(low, high) | st.integers(0, 7)
    if kind == FieldDescriptor.CPPTYPE_FLOAT:
        return st.floats(width=32, allow_nan=False)
    if kind == FieldDescriptor.CPPTYPE_DOUBLE:
        return st.floats(allow_nan=False)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    return st.binary(max_size=12) if field.type == FieldDescriptor.TYPE_BYTES else TEXTS


@st.composite
def filled(draw: st.DrawFn, make: type[Message], without: tuple[str, ...] = (), most: int = 6) -> Any:
    """A message of a class with some fields set, without the fields of some names at any depth."""
    message = make()
    fill(draw, message, without, most)
    return message


def fill(draw: st.DrawFn, message: Message, without: tuple[str, ...], most: int) -> None:
    candidates = [f for f in message.DESCRIPTOR.fields if f.name not in without]
    if not candidates:
        return
    for field in draw(st.lists(st.sampled_from(candidates), max_size=most, unique_by=lambda f: f.name)):
        if field.message_type is None:
            if is_repeated(field):
                getattr(message, field.name).extend(draw(st.lists(scalars(field), max_size=4)))
            else:
                setattr(message, field.name, draw(scalars(field)))
        elif is_repeated(field):
            for _ in range(draw(st.integers(0, 2))):
                fill(draw, getattr(message, field.name).add(), without, 3)
        else:
            child = getattr(message, field.name)
            child.SetInParent()
            fill(draw, child, without, 3)


def format_error(read: Callable[..., object], *arguments: object) -> str:
    """The message of the FormatError that a reading ends in, empty if it ends well; any other exception passes."""
    try:
        read(*arguments)
    except FormatError as error:
        return str(error)
    return ""
