"""Parameters of layer types that are not Caffe's: kept as text in the LayerParameter, under a number of their own.

protobuf carries fields of unknown numbers along wherever a message is copied, so a layer of one's own finds its
parameters in every network that is made from another.
"""

from __future__ import annotations

import re
from typing import Any

from caffezoo.errors import PrototxtError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.wire import DELIMITED, encode_tag, encode_varint, walk_fields

NUMBER = 18990
"""Field number in LayerParameter that neither BVLC nor caffe.proto here has."""

MAX_DEPTH = 64

_TOKEN = re.compile(
    r"""(?:\s|\#[^\n]*)*(?:("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|([{}<>\[\]:;,])|([^\s{}<>\[\]:;,"'\#]+))"""
)
_CLOSING = {"{": "}", "<": ">"}


def attach(layer: pb.LayerParameter | pb.V1LayerParameter, text: str) -> None:
    """Keep a field's text, such as ``my_param { alpha: 2 }``, in a layer."""
    data = text.encode("utf-8", "surrogateescape")
    layer.MergeFromString(encode_tag(NUMBER, DELIMITED) + encode_varint(len(data)) + data)


def extra_texts(layer: pb.LayerParameter | pb.V1LayerParameter) -> list[str]:
    """Return the texts that were kept in a layer, in order."""
    data = layer.SerializeToString()
    found = [f for f in walk_fields(data, 0, len(data), len(data)) if f.number == NUMBER]
    return [data[f.start : f.end].decode("utf-8", "surrogateescape") for f in found]


def extra_fields(layer: pb.LayerParameter) -> dict[str, Any]:
    """Return what was kept in a layer by field name: messages as dict, repeated fields as list.

    Raises
    ------
    PrototxtError
        Such a text has no values.
    """
    found: dict[str, Any] = {}
    for text in extra_texts(layer):
        tokens = [next(filter(None, match.groups())) for match in _TOKEN.finditer(text)]
        end = _fields(tokens, 0, None, found, 0)
        if end != len(tokens):
            raise PrototxtError(f"'{tokens[end]}' is out of place in '{text[:40]}'")
    return found


def _fields(tokens: list[str], at: int, closing: str | None, found: dict[str, Any], depth: int) -> int:
    """Read fields up to a closing bracket into a dict; return the place behind it."""
    if depth > MAX_DEPTH:
        raise PrototxtError(f"messages nest more than {MAX_DEPTH} deep")
    while at < len(tokens) and tokens[at] != closing:
        if tokens[at] in ",;":
            at += 1
            continue
        name, at = tokens[at], at + 1
        if at < len(tokens) and tokens[at] == ":":
            at += 1
        if at >= len(tokens):
            raise PrototxtError(f"expected a value for '{name}'")
        if tokens[at] == "[":
            at += 1
            while at < len(tokens) and tokens[at] != "]":
                at = _value(tokens, at, name, found, depth) + (at + 1 < len(tokens) and tokens[at + 1] == ",")
            found[name] = found[name] if isinstance(found.get(name, []), list) else [found[name]]
            at += 1
        else:
            at = _value(tokens, at, name, found, depth)
    return at + (closing is not None)


def _value(tokens: list[str], at: int, name: str, found: dict[str, Any], depth: int) -> int:
    value: Any
    if tokens[at] in _CLOSING:
        value = {}
        at = _fields(tokens, at + 1, _CLOSING[tokens[at]], value, depth + 1)
    else:
        value, at = _scalar(tokens[at]), at + 1
    if name not in found:
        found[name] = value
    elif isinstance(found[name], list):
        found[name].append(value)
    else:
        found[name] = [found[name], value]
    return at


def _scalar(token: str) -> Any:
    if token[0] in "\"'":
        return token[1:-1]
    if token in ("true", "false"):
        return token == "true"
    for kind in (int, float):
        try:
            return kind(token)
        except ValueError:
            continue
    return token
