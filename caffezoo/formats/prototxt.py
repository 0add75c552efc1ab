"""Prototxt files: read into an upgraded NetParameter that remembers its source lines, and written in Caffe's style."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from caffezoo.errors import PrototxtError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.extra_fields import attach, extra_texts
from caffezoo.formats.scalars import format_float32, format_float64, is_repeated, quote_bytes, quote_string
from caffezoo.formats.signature import identify, remedy
from caffezoo.formats.textformat import MAX_TEXT_CHARS, TextParser
from caffezoo.formats.unknown_fields import StrayField, UnknownField
from caffezoo.formats.upgrade import TYPE_OF_V1_NUMBER, upgrade_net

SOLVER_FIELDS = frozenset({
    "net", "train_net", "test_net", "net_param", "train_net_param", "base_lr", "lr_policy", "max_iter", "test_iter",
    "test_interval", "snapshot_prefix", "solver_mode", "solver_type", "momentum", "weight_decay", "stepsize",
})  # fmt: skip
"""Fields of a SolverParameter by which a solver's file is known."""

_SOLVERS_NET = re.compile(r'^[ \t]*(?:train_)?net[ \t]*:[ \t]*["\']([^"\'\n]*)["\']', re.MULTILINE)


@dataclass(frozen=True)
class Prototxt:
    """A text NetParameter as Caffe would see it after its upgrades.

    Attributes
    ----------
    net : NetParameter
        Only `layer` entries; inputs as an `Input` layer in front.
    path : str
        File that it was read from, or a name for text that has none.
    lines : tuple of int
        Source line (1-based) of each ``net.layer[i]``; 0 where the upgrade made the layer.
    warnings : tuple of str
        One line each: fields that are passed over, V0 fields without a successor.
    elsewhere : mapping of str to str
        Blobs that only layers of another state make, and how that state is asked for (``--phase TRAIN``).
    strays : tuple of StrayField
        Fields that Caffe does not have and that may change the answer.
    left_out : tuple of str
        Names of the file's layers that are not there in this state, or that no wanted blob needs.
    """

    net: pb.NetParameter
    path: str
    lines: tuple[int, ...]
    warnings: tuple[str, ...]
    elsewhere: Mapping[str, str] = dataclasses.field(default_factory=dict)
    strays: tuple[StrayField, ...] = ()
    left_out: tuple[str, ...] = ()


def read_prototxt(path: str | PathLike[str], *, lenient: bool = False) -> Prototxt:
    """Read and upgrade a prototxt file.

    Parameters
    ----------
    path : path
    lenient : bool
        Pass over every field that no message has, with a warning. Otherwise only those of the forks that change
        nothing; the others are kept as ``strays``, for which a network is refused.

    Raises
    ------
    PrototxtError
        The file cannot be opened, is something else (HTML, archive, caffemodel), or breaks the syntax or a rule of
        Caffe; ``where`` is ``path:line`` for the latter.
    """
    name = fspath(path)
    return parse_prototxt(read_text(name), name, lenient=lenient)


def read_text(path: str) -> str:
    """Return the text of a prototxt file, of a net or a solver.

    Raises
    ------
    PrototxtError
        It cannot be opened, or is something else.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(4 * MAX_TEXT_CHARS + 1)
    except OSError as error:
        raise PrototxtError(f"cannot read the prototxt: {error.strerror or error}", where=path) from None
    return _decode(data, path)


def _decode(data: bytes, name: str) -> str:
    foreign = identify(data)
    if foreign is not None:
        raise PrototxtError(f"this is no prototxt but {foreign}", where=name, hint=remedy(foreign))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise PrototxtError("the text is UTF-16", where=name, hint="save it as UTF-8")
    if b"\0" in data[: 1 << 20]:
        raise PrototxtError("this is a binary file, no prototxt", where=name, hint="is it the caffemodel?")
    # Comments of published files are in all encodings; only strings have to be UTF-8, and the parser checks those.
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def parse_prototxt(text: str, path: str = "<string>", *, lenient: bool = False) -> Prototxt:
    """Parse and upgrade the text of a prototxt; `path` stands in errors and warnings, `lenient` as in `read_prototxt`.

    Raises
    ------
    PrototxtError
        The text breaks the syntax or a rule of Caffe; ``where`` is ``path:line``.
    """
    net = pb.NetParameter()
    parser = TextParser(text, path)
    parser.parse_into(net)
    lines = parser.lines.get("layers" if net.layers else "layer", [])
    if net.layers and net.layer:
        line = max(parser.lines["layer"][0], parser.lines["layers"][0])
        raise PrototxtError("the file mixes 'layer' and 'layers' entries", where=f"{path}:{line}", hint="use one form")
    if not net.layer and not net.layers and SOLVER_FIELDS.intersection(field.name for field in parser.unknown):
        named = _SOLVERS_NET.search(text)
        hint = f"its network is '{named[1]}'" if named else "its network stands in it, as net_param { ... }"
        raise PrototxtError("this is a solver file, no network", where=path, hint=hint)
    strays = [_stray(net, lines, field) for field in parser.unknown]
    passed_over = [stray for stray in strays if lenient or stray.field.is_passed_over]
    for stray in strays:
        if stray not in passed_over and stray.is_layers_own and stray.field.top:
            section, index = stray.field.top
            attach(net.layer[index] if section == "layer" else net.layers[index], stray.field.text)
    upgraded = upgrade_net(net, path, lines)
    return Prototxt(
        upgraded.net,
        path,
        upgraded.lines,
        (*(stray.warning(path) for stray in passed_over), *upgraded.warnings),
        strays=tuple(stray for stray in strays if stray not in passed_over),
    )


def _stray(net: pb.NetParameter, lines: Sequence[int], field: UnknownField) -> StrayField:
    """Return an unknown field with the layer that it stands in."""
    if field.top is None or field.top[0] not in ("layer", "layers"):
        return StrayField(field)
    entries, index = field.top
    layer = net.layer[index] if entries == "layer" else net.layers[index]
    name = layer.name or (layer.layer.name if isinstance(layer, pb.V1LayerParameter) else "")
    kind = layer.type if isinstance(layer, pb.LayerParameter) else TYPE_OF_V1_NUMBER.get(layer.type, "")
    return StrayField(field, lines[index], name, kind)


def write_prototxt(net: Message) -> str:
    """Return a net or a solver as text: two spaces of indent, enum names, floats as the shortest of the same float32.

    Fields stand in the order of their numbers, shapes on one line. Fields of no known name are left out.
    """
    parts: list[str] = []
    _write_fields(net, "", parts)
    return "".join(parts)


def _write_fields(message: Any, indent: str, parts: list[str]) -> None:
    for field, value in message.ListFields():
        values = value if is_repeated(field) else (value,)
        if field.message_type is None:
            parts.extend(f"{indent}{field.name}: {_scalar_text(field, v)}\n" for v in values)
            continue
        for child in values:
            if field.message_type.name == "BlobShape":
                dims = "".join(f"dim: {d} " for d in child.dim)
                parts.append(f"{indent}{field.name} {{ {dims}}}\n")
            else:
                parts.append(f"{indent}{field.name} {{\n")
                _write_fields(child, indent + "  ", parts)
                if isinstance(child, pb.LayerParameter):
                    parts.extend(f"{indent}  {text}\n" for text in extra_texts(child))
                parts.append(f"{indent}}}\n")


def _scalar_text(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[value].name)
    kind = field.type
    if kind == FieldDescriptor.TYPE_STRING:
        return quote_string(value)
    if kind == FieldDescriptor.TYPE_BYTES:
        return quote_bytes(value)
    if kind == FieldDescriptor.TYPE_BOOL:
        return "true" if value else "false"
    if kind == FieldDescriptor.TYPE_FLOAT:
        return format_float32(value)
    return format_float64(value) if kind == FieldDescriptor.TYPE_DOUBLE else str(value)
