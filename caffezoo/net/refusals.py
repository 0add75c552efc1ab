"""What a file is refused for before a shape is inferred: no layers, unknown types, fields that Caffe does not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from caffezoo.errors import PrototxtError, UnknownLayerError, ZooError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import Prototxt
from caffezoo.formats.unknown_fields import StrayField, refuse
from caffezoo.net.given_shapes import shape_flags
from caffezoo.net.node import Node
from caffezoo.net.registry import layer_class, unknown_layer

SHOWN_LAYERS = 8
"""Layers that are named of one unknown type."""


def check_types(prototxt: Prototxt) -> None:
    """Raise if there are layers of types that nobody has registered; the message names all types, with their layers.

    Raises
    ------
    UnknownLayerError
    """
    places = zip(prototxt.net.layer, prototxt.lines, strict=True)
    unknown = [(layer, line) for layer, line in places if layer_class(layer.type) is None]
    if not unknown:
        return
    kinds: dict[str, list[str]] = {}
    for layer, line in unknown:
        kinds.setdefault(layer.type, []).append(f"'{layer.name}'" + (f" (line {line})" if line else ""))
    if len(unknown) == 1:
        (layer, line), where = unknown[0], prototxt.path
        raise unknown_layer(layer, f"{where}:{line}" if line else where)
    said = []
    for kind, layers in sorted(kinds.items()):
        more = f" and {len(layers) - SHOWN_LAYERS} more" if len(layers) > SHOWN_LAYERS else ""
        said.append(f"{kind}: {', '.join(layers[:SHOWN_LAYERS])}{more}")
    raise UnknownLayerError(
        f"{len(unknown)} layers of {len(kinds)} unknown type(s): {'; '.join(said)}",
        where=prototxt.path,
        hint="give their classes by --layers FILE.py" + _as_inputs([layer for layer, _ in unknown]),
    )


def _as_inputs(unknown: Sequence[pb.LayerParameter]) -> str:
    """Return how the tops of unknown sources of data become inputs; empty where there is no such layer."""
    tops = [top for layer in unknown if not layer.bottom for top in layer.top]
    return f"; tops of those that read nothing are inputs with {shape_flags(tops)}" if tops else ""


def check_fields(prototxt: Prototxt) -> tuple[str, ...]:
    """Refuse fields that Caffe does not have, and return what is passed over because its layer is not used.

    A field in a layer whose type is not Caffe's is that type's own affair, and so is what the class reads or knows to
    change nothing.

    Raises
    ------
    PrototxtError
    """
    used = set(prototxt.lines)

    def read(stray: StrayField) -> bool:
        own, name = layer_class(stray.layer_type), stray.field.name
        if own is None or not stray.is_layers_own:
            return False
        own_message = own.own_fields is not None and own.param_name == name
        return own_message or name in own.other_fields or name in own.idle_fields

    def matters(stray: StrayField) -> bool:
        if stray.layer_line is None:
            return True
        own = layer_class(stray.layer_type)
        foreign = own is None or not own.__module__.startswith("caffezoo.")
        return stray.layer_line in used and not (stray.is_layers_own and foreign)

    strays = [stray for stray in prototxt.strays if not read(stray)]
    refuse([stray for stray in strays if matters(stray)], prototxt.path)
    return tuple(stray.warning(prototxt.path) for stray in strays)


def check_layers(prototxt: Prototxt) -> None:
    """Raise if there is no layer at all.

    Raises
    ------
    PrototxtError
    """
    if prototxt.net.layer:
        return
    if prototxt.left_out:
        phase = pb.Phase.Name(prototxt.net.state.phase)
        message, hint = f"none of its {len(prototxt.left_out)} layers is there at {phase}", prototxt.elsewhere
        raise PrototxtError(message, where=prototxt.path, hint=next(iter(hint.values()), None))
    raise PrototxtError("a file without layers is no network", where=prototxt.path)


def surplus_params(nodes: Iterable[Node]) -> list[str]:
    """Return what is to be said of layers with more ``param`` than they have blobs, which only Caffe refuses.

    Usual is a second one, for a bias that ``bias_term: false`` takes away (``Net::Init``: "Too many params specified").
    """
    said = []
    for node in nodes:
        given, blobs = len(node.layer.proto.param), len(node.blob_shapes)
        if given > blobs and _is_caffes(node):
            said.append(
                f"{node.layer.where}: layer '{node.name}' has {given} param for {blobs} blob(s): Caffe refuses this"
            )
    return said


def _is_caffes(node: Node) -> bool:
    try:
        return node.layer.plain(node.bottom_shapes) is None
    except ZooError:  # a fork's layer without a form in Caffe's
        return False
