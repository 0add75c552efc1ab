"""A small, strict reader of YAML that keeps line numbers.

An index file is data that a user may have got from anywhere, so that only this much of YAML is read: one document of
mappings, lists and scalars. Tags, anchors and aliases, merge keys, duplicate keys, keys that are not plain text, and
files or nestings beyond a bound are refused. Plain scalars follow YAML 1.2's core rules as far as an index needs them
(`yes`, `on`, dates and sexagesimals stay text), quoted scalars are always text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from caffezoo.errors import IndexFileError
from caffezoo.zoo.resources import MAX_INDEX_BYTES

MAX_DEPTH = 32
MAX_NODES = 1_000_000

Path = tuple[str | int, ...]

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]{1,3})?|[-+]?[0-9]+[eE][-+][0-9]{1,3}")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_START = re.compile(r"[-+.0-9]")


@dataclass(frozen=True)
class Document:
    """The data of one YAML file, and the line of every key and list item."""

    name: str
    data: Any
    lines: dict[Path, int] = field(repr=False)

    def line_of(self, path: Path) -> tuple[int, int]:
        """Line of the deepest part of `path` that the file holds, and how many steps of it the file holds."""
        for depth in range(len(path), 0, -1):
            line = self.lines.get(path[:depth])
            if line is not None:
                return line, depth
        return 1, 0


def scalar(text: str) -> Any:
    """The value of a plain scalar: null, true, false, an integer, a decimal number, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if _START.match(text):
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def read_document(content: bytes, name: str) -> Document:
    """Read one YAML document.

    Parameters
    ----------
    content : bytes
        The file, UTF-8.
    name : str
        How messages call it.

    Raises
    ------
    IndexFileError
        Not YAML, more of YAML than is allowed, or too large; ``where`` is ``name:line``.
    """
    if len(content) > MAX_INDEX_BYTES:
        raise IndexFileError(f"{len(content)} bytes, an index has at most {MAX_INDEX_BYTES}", where=name)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise IndexFileError("is not UTF-8 text", where=f"{name}:{line}") from None
    reader = _Reader(text, name)
    try:
        data = reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise IndexFileError(f"is not YAML: {error.problem or error.context}", where=where) from None
    except yaml.YAMLError as error:
        raise IndexFileError(f"is not YAML: {error}", where=name) from None
    return Document(name, data, reader.lines)


class _Reader:
    """Builds plain data from the parser's events, so that nothing of YAML's object construction runs."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        self._loader = _LOADER(text)
        self._next = self._loader.get_event
        self._nodes = 0

    def document(self) -> Any:
        self._next()  # stream start
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise IndexFileError("is empty", where=self.name)
        data = self._node(self._next(), ())
        self._next()  # document end
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._refusal(event, "holds more than one document")
        return data

    def _refusal(self, event: Any, message: str) -> IndexFileError:
        return IndexFileError(message, where=f"{self.name}:{event.start_mark.line + 1}")

    def _check(self, event: Any, path: Path) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise self._refusal(event, f"alias '*{event.anchor}': an index has no aliases")
        if event.anchor is not None:
            raise self._refusal(event, f"anchor '&{event.anchor}': an index has no anchors")
        if event.tag is not None:
            raise self._refusal(event, f"tag '{event.tag}': an index has no tags")
        if len(path) > MAX_DEPTH:
            raise self._refusal(event, f"nested deeper than {MAX_DEPTH}")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._refusal(event, f"more than {MAX_NODES} values")

    def _node(self, event: Any, path: Path) -> Any:
        self._check(event, path)
        kind = type(event)
        if kind is yaml.ScalarEvent:
            return scalar(event.value) if event.implicit[0] else event.value
        if kind is yaml.MappingStartEvent:
            return self._mapping(path)
        items: list[Any] = []
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            here = (*path, len(items))
            self.lines[here] = event.start_mark.line + 1
            items.append(self._node(event, here))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while type(key := self._next()) is not yaml.MappingEndEvent:
            if type(key) is yaml.ScalarEvent:
                self._check(key, path)
            else:
                raise self._refusal(key, "a key must be plain text")
            if key.value == "<<" and key.implicit[0]:
                raise self._refusal(key, "merge key '<<': an index has none")
            if key.value in table:
                raise self._refusal(key, f"key '{key.value}' is there twice")
            here = (*path, key.value)
            mark: Any = key.start_mark
            self.lines[here] = mark.line + 1
            table[key.value] = self._node(self._next(), here)
        return table
