"""Two prototxts compared as networks: what a layer says, not how the file is written.

Both are upgraded first, so old and new forms of the same layer are the same, and a field that is left out is its
default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.layer_keys import layer_keys
from caffezoo.formats.prototxt import Prototxt
from caffezoo.formats.scalars import format_float32, is_repeated


@dataclass(frozen=True)
class FieldDifference:
    """One field of a layer that both files have; ``first`` and ``second`` are its values as text, empty for none."""

    layer: str
    field: str
    first: str
    second: str


@dataclass(frozen=True)
class PrototxtDifference:
    """Two networks as text.

    Attributes
    ----------
    only_first, only_second : tuple of (str, str)
        Layers that the other lacks: name and type.
    fields : tuple of FieldDifference
        Of layers of the same name.
    moved : tuple of str
        Layers that stand in another order among those that both have.
    """

    only_first: tuple[tuple[str, str], ...]
    only_second: tuple[tuple[str, str], ...]
    fields: tuple[FieldDifference, ...]
    moved: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not (self.only_first or self.only_second or self.fields or self.moved)


def compare_prototxts(first: Prototxt, second: Prototxt) -> PrototxtDifference:
    """Compare layers of the same names, field by field.

    Layers of a name that stands twice (for TRAIN and for TEST) are compared in their order.
    """
    a, b = _by_key(first.net), _by_key(second.net)
    fields = [
        FieldDifference("", name, getattr(first.net, name), getattr(second.net, name))
        for name in ("name",)
        if getattr(first.net, name) != getattr(second.net, name)
    ]
    for key, layer in a.items():
        if key in b:
            fields += _compare(key, layer, b[key])
    common_a, common_b = [k for k in a if k in b], [k for k in b if k in a]
    moved = tuple(x for x, y in zip(common_a, common_b, strict=True) if x != y)
    return PrototxtDifference(
        tuple((key, layer.type) for key, layer in a.items() if key not in b),
        tuple((key, layer.type) for key, layer in b.items() if key not in a),
        tuple(fields),
        moved,
    )


def _compare(key: str, first: pb.LayerParameter, second: pb.LayerParameter) -> Iterator[FieldDifference]:
    a, b = dict(_values(first)), dict(_values(second))
    for field in dict.fromkeys((*a, *b)):
        x, y = a.get(field, ""), b.get(field, "")
        if x != y:
            yield FieldDifference(key, field, x, y)


def _values(message: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every field that is not its default, by its path (``convolution_param.kernel_size``), as text."""
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if field.name == "name" and not prefix:
            continue
        if field.message_type is None:
            if is_repeated(field):
                yield path, " ".join(_text(field, v) for v in value)
            elif value != field.default_value:
                yield path, _text(field, value)
        elif not is_repeated(field):
            yield from _values(value, f"{path}.")
        elif field.message_type.name == "BlobShape":
            yield path, "; ".join("x".join(map(str, shape.dim)) for shape in value)
        else:
            for i, child in enumerate(value):
                yield f"{path}[{i}]", "there"
                yield from _values(child, f"{path}[{i}].")


def _text(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number
        return str(known[value].name) if value in known else str(value)
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return format_float32(value)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return "true" if value else "false"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return repr(value)
    return str(value)


def _by_key(net: pb.NetParameter) -> dict[str, pb.LayerParameter]:
    return dict(zip(layer_keys(layer.name for layer in net.layer), net.layer, strict=True))
