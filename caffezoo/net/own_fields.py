"""Parameters of layer types that caffe.proto does not have: a message in the layer, read by a table of its fields.

A class names its message and lists the fields with their defaults; whatever else stands in the message is refused, as
Caffe refuses a misspelt field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, NoReturn

from caffezoo.errors import nearest
from caffezoo.formats import caffe_pb2 as pb


def fields(**kinds: Any) -> Mapping[str, Any]:
    """Return the table of a message's fields for ``own_fields`` of a layer class.

    A field is a default (an enum's is the name of a value), a type for one without default, whose value is None where
    it is not given, or a list of one type for a repeated one.
    """
    return MappingProxyType(kinds)


def read_message(
    extra: Mapping[str, Any], name: str, kinds: Mapping[str, Any], fail: Callable[[str, str | None], NoReturn]
) -> SimpleNamespace:
    """Return the values of a layer's own message, as attributes.

    Parameters
    ----------
    extra : mapping
        The layer's fields that caffe.proto lacks, as :func:`caffezoo.formats.extra_fields.extra_fields` reads them.
    name : str
        The message; its defaults stand where the layer has none.
    kinds : mapping
        What :func:`fields` returns.
    fail : callable
        Raises an error that names the layer; called with a message and a hint.
    """
    given = extra.get(name, {})
    if not isinstance(given, dict):
        fail(f"{name} is one message, {{ ... }}", None)
    for field in given:
        if field not in kinds:
            close = nearest(field, tuple(kinds))
            fail(f"its {name} has no field '{field}'", f"did you mean {close[0]}?" if close else None)
    values = {field: _value(given.get(field), kind, f"{name}.{field}", fail) for field, kind in kinds.items()}
    return SimpleNamespace(**values)


def _value(given: Any, kind: Any, name: str, fail: Callable[[str, str | None], NoReturn]) -> Any:
    if isinstance(kind, list):
        found = [] if given is None else given if isinstance(given, list) else [given]
        return [_one(value, kind[0], name, fail) for value in found]
    if isinstance(kind, type):
        return (kind() if kind is pb.FillerParameter else None) if given is None else _one(given, kind, name, fail)
    return kind if given is None else _one(given, type(kind), name, fail)


def _one(value: Any, kind: type, name: str, fail: Callable[[str, str | None], NoReturn]) -> Any:
    if kind is pb.FillerParameter and isinstance(value, dict):
        try:
            return pb.FillerParameter(**value)
        except (ValueError, TypeError):
            fail(f"{name} is no filler", None)
    if kind is bool and value in (0, 1):
        return bool(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "a name", dict: "a message"}
        fail(f"{name} must be {words.get(kind, kind.__name__)}, is {value!r}", None)
    return value
