"""Protobuf's text format: tokens, and a parser that fills a message by its descriptor.

It differs from protobuf's own parser in three ways that a reader of other people's prototxts needs: an unknown field is
skipped whole and reported instead of ending the read, the line of every top-level message is kept, and input that is
hostile (nesting, size) ends in an error with a line number.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from caffezoo.errors import PrototxtError
from caffezoo.formats.scalars import ScalarError, is_repeated, scalar_converter
from caffezoo.formats.unknown_fields import UnknownField

MAX_DEPTH = 64
"""Deepest nesting of messages that is read; Caffe's own messages nest four deep."""

MAX_TEXT_CHARS = 64 << 20
"""Longest text that is read, in characters; the longest published prototxt has about 300,000."""

# Possessive quantifiers: no input makes the expression try twice.
MAX_TOKENS = 2_000_000
"""Most tokens (names, numbers, strings, brackets) of a text; the longest published prototxt has about 50,000."""

_TOKEN = re.compile(
    r"""(?:[ \t\r\n\f\v]++|\#[^\n]*+)*+
    (?:(?P<name>[A-Za-z_][A-Za-z0-9_]*+)
    |(?P<number>0[xX][0-9A-Fa-f]++(?![\w.])|(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+[fF]?+(?![\w.]))
    |(?P<string>"(?:[^"\\\n]|\\[^\n])*+"|'(?:[^'\\\n]|\\[^\n])*+')
    |(?P<symbol>[{}<>\[\]:;,./-])
    |(?P<end>\Z))""",
    re.VERBOSE | re.ASCII,
)
_BLANK = re.compile(r"(?:[ \t\r\n\f\v]++|#[^\n]*+)*+")
_CLOSING = {"{": "}", "<": ">"}


@dataclass(frozen=True)
class _Field:
    descriptor: FieldDescriptor
    repeated: bool
    message: dict[str, _Field] | None
    convert: Callable[[str, str], Any] | None


class TextParser:
    """Parse one text into one message.

    Attributes
    ----------
    lines : dict
        Field name to the source lines (1-based) of its entries, for the repeated messages of the top level.
    unknown : list of UnknownField
    """

    def __init__(self, text: str, path: str) -> None:
        if len(text) > MAX_TEXT_CHARS:
            raise PrototxtError(
                f"{len(text)} characters of text, more than the {MAX_TEXT_CHARS} that are read", where=path
            )
        self._text = text
        self._path = path
        self._starts: list[int] = []
        self._kinds: list[str] = []
        self._values: list[str] = []
        self._newlines: list[int] | None = None
        self._top: tuple[str, int] | None = None
        self.lines: dict[str, list[int]] = {}
        self.unknown: list[UnknownField] = []
        self._tokenize()
        self._at = 0

    def parse_into(self, message: Message) -> None:
        """Fill `message` from the whole text.

        Raises
        ------
        PrototxtError
            The text breaks the syntax, a value does not fit its field, or a single field is given twice.
        """
        fields = _fields_of(message.DESCRIPTOR)
        while self._kinds[self._at] != "end":
            self._top = None
            self._field(message, fields, 0)

    def _tokenize(self) -> None:
        match, text = _TOKEN.match, self._text
        starts, kinds, values = self._starts, self._kinds, self._values
        position = 0
        while True:
            found = match(text, position)
            if found is None:
                self._bad_token(position)
            kind = found.lastgroup
            assert kind is not None
            starts.append(found.start(kind))
            kinds.append(kind)
            values.append(found[kind])
            if kind == "end":
                return
            if len(kinds) > MAX_TOKENS:
                self._fail(f"more than {MAX_TOKENS} names and values; weights do not belong into a prototxt", position)
            position = found.end()

    def _bad_token(self, position: int) -> NoReturn:
        blank = _BLANK.match(self._text, position)
        position = blank.end() if blank else position
        char = self._text[position]
        if char in "\"'":
            self._fail("the string that starts here does not end on its line", position)
        if char in "0123456789":
            self._fail(f"'{self._text[position : position + 20].split()[0]}' is not a number", position)
        self._fail(f"unexpected character {char!r}", position)

    def _line_at(self, position: int) -> int:
        if self._newlines is None:
            self._newlines = [m.start() for m in re.finditer("\n", self._text)]
        return bisect_right(self._newlines, position - 1) + 1

    def _fail(self, message: str, position: int | None = None) -> NoReturn:
        line = self._line_at(self._starts[self._at] if position is None else position)
        raise PrototxtError(message, where=f"{self._path}:{line}")

    def _found(self) -> str:
        return "the end of the text" if self._kinds[self._at] == "end" else f"'{self._values[self._at][:40]}'"

    def _symbol(self, symbols: str) -> str | None:
        if self._kinds[self._at] == "symbol" and self._values[self._at] in symbols:
            self._at += 1
            return self._values[self._at - 1]
        return None

    def _field(self, message: Message, fields: dict[str, _Field], depth: int) -> None:
        start = self._at
        if self._kinds[start] != "name":
            if self._symbol("["):
                self._skip_unknown(message, fields, self._extension_name(), start, depth)
                return
            self._fail(f"expected a field name, found {self._found()}")
        name = self._values[start]
        self._at += 1
        field = fields.get(name)
        if field is None:
            self._skip_unknown(message, fields, name, start, depth)
        elif field.message is None:
            self._scalar_field(message, name, field)
        else:
            self._message_field(message, name, field, depth, start)
        self._symbol(",;")

    def _scalar_field(self, message: Message, name: str, field: _Field) -> None:
        if not self._symbol(":"):
            self._fail(f"expected ':' after '{name[:40]}', found {self._found()}")
        if not field.repeated:
            if message.HasField(name):
                self._fail(f"field '{name}' is given twice")
            try:
                setattr(message, name, self._value(name, field))
            except (ValueError, TypeError) as error:
                self._fail(f"field '{name}': {error}", self._starts[self._at - 1])
            return
        values = getattr(message, name)
        if not self._symbol("["):
            values.append(self._value(name, field))
        elif not self._symbol("]"):
            values.append(self._value(name, field))
            while self._symbol(","):
                values.append(self._value(name, field))
            if not self._symbol("]"):
                self._fail(f"expected ',' or ']' in the list of '{name}', found {self._found()}")

    def _value(self, name: str, field: _Field) -> Any:
        start = self._at
        kind, value = self._kinds[start], self._values[start]
        if kind == "symbol" and value == "-":
            self._at += 1
            kind, value = self._kinds[self._at], "-" + self._values[self._at]
            if kind == "string":
                self._fail(f"field '{name}': a string has no sign")
        elif kind == "string":
            self._at += 1
            while self._kinds[self._at] == "string":
                value += "\n" + self._values[self._at]
                self._at += 1
            self._at -= 1
        if kind in ("symbol", "end"):
            self._fail(f"expected a value for '{name}', found {self._found()}")
        self._at += 1
        assert field.convert is not None
        try:
            return field.convert(kind, value)
        except ScalarError as error:
            self._fail(f"field '{name}': {error}", self._starts[start])

    def _message_field(self, message: Message, name: str, field: _Field, depth: int, start: int) -> None:
        self._symbol(":")
        if field.repeated and self._symbol("["):
            if not self._symbol("]"):
                self._one_message(message, name, field, depth, self._at)
                while self._symbol(","):
                    self._one_message(message, name, field, depth, self._at)
                if not self._symbol("]"):
                    self._fail(f"expected ',' or ']' in the list of '{name}', found {self._found()}")
            return
        self._one_message(message, name, field, depth, start)

    def _one_message(self, message: Message, name: str, field: _Field, depth: int, start: int) -> None:
        opening = self._symbol("{<")
        if opening is None:
            self._fail(f"expected '{{' after '{name[:40]}', found {self._found()}")
        if depth >= MAX_DEPTH:
            self._fail(f"messages nest more than {MAX_DEPTH} deep")
        if field.repeated:
            child = getattr(message, name).add()
            if depth == 0:
                lines = self.lines.setdefault(name, [])
                self._top = (name, len(lines))
                lines.append(self._line_at(self._starts[start]))
        else:
            if message.HasField(name):
                self._fail(f"field '{name}' is given twice", self._starts[start])
            child = getattr(message, name)
            child.SetInParent()
        assert field.message is not None
        closing = _CLOSING[opening]
        while not self._symbol(closing):
            if self._kinds[self._at] == "end":
                self._fail(f"'{name}' is not closed: expected '{closing}'", self._starts[start])
            self._field(child, field.message, depth + 1)

    def _extension_name(self) -> str:
        parts = []
        while not self._symbol("]"):
            if self._kinds[self._at] == "end":
                self._fail("expected ']' after the name of an extension")
            parts.append(self._values[self._at])
            self._at += 1
        return f"[{''.join(parts)}]"

    def _skip_unknown(self, message: Message, fields: dict[str, _Field], name: str, start: int, depth: int) -> None:
        colon = self._symbol(":")
        if self._kinds[self._at] == "symbol" and self._values[self._at] in "{<[":
            self._skip_brackets(depth)
        elif not colon:
            self._fail(f"expected ':' or '{{' after '{name[:40]}', found {self._found()}")
        else:
            self._symbol("-")
            if self._kinds[self._at] in ("symbol", "end"):
                self._fail(f"expected a value for '{name}', found {self._found()}")
            is_string = self._kinds[self._at] == "string"
            self._at += 1
            while is_string and self._kinds[self._at] == "string":
                self._at += 1
        line, text = (
            self._line_at(self._starts[start]),
            self._text[self._starts[start] : self._starts[self._at]].strip(),
        )
        self.unknown.append(UnknownField(name, line, message.DESCRIPTOR.name, tuple(fields), self._top, text))
        self._symbol(",;")

    def _skip_brackets(self, depth: int) -> None:
        """Pass over a bracketed value of an unknown field: only the brackets in it are looked at."""
        closings: list[str] = []
        opened_at = self._at
        while True:
            kind, value = self._kinds[self._at], self._values[self._at]
            if kind == "end":
                self._fail("the value of an unknown field is not closed", self._starts[opened_at])
            if kind == "symbol":
                if value in "{<[":
                    closings.append({"{": "}", "<": ">", "[": "]"}[value])
                    if depth + len(closings) > MAX_DEPTH:
                        self._fail(f"messages nest more than {MAX_DEPTH} deep")
                elif value in "}>]" and value != closings.pop():
                    self._fail(f"unexpected '{value}'")
            self._at += 1
            if not closings:
                return


@cache
def _fields_of(descriptor: Descriptor) -> dict[str, _Field]:
    """Table of a message's fields; no message of Caffe's contains itself, so the recursion ends."""
    table = {}
    for field in descriptor.fields:
        repeated = is_repeated(field)
        if field.message_type is not None:
            table[field.name] = _Field(field, repeated, _fields_of(field.message_type), None)
        else:
            enum: EnumDescriptor | None = field.enum_type
            table[field.name] = _Field(field, repeated, None, scalar_converter(field.cpp_type, field.type, enum))
    return table
