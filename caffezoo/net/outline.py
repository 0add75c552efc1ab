"""A network as far as it is known: what can be drawn of a file with layers that nobody has registered.

A layer of an unknown type has tops of unknown shape, and so has every layer behind it; all others have the shapes that
they would have. Nothing of it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from caffezoo.errors import ZooError
from caffezoo.formats.layer_keys import layer_keys
from caffezoo.formats.prototxt import Prototxt
from caffezoo.net.given_shapes import with_given_inputs
from caffezoo.net.layer import BlobId, Layer, Shape
from caffezoo.net.node import Node
from caffezoo.net.registry import is_known, layer_class

UNKNOWN: Shape = (0,)
"""The shape of a blob of which none is known: no blob has an axis of 0."""


class UnshapedLayer(Layer):
    """A layer of an unknown type, or one whose tops depend on such a layer."""

    bottom_count: ClassVar[tuple[int, int | None]] = (0, None)
    top_count: ClassVar[tuple[int, int | None]] = (0, None)


def shape_text(shape: Shape, batch: bool = True) -> str:
    """Return a shape as ``1x3x8x8``, ``?`` where it is not known; without ``batch`` it begins behind axis 0."""
    if shape == UNKNOWN:
        return "?"
    return "x".join(map(str, shape if batch else shape[1:])) or "scalar"


@dataclass(frozen=True)
class Outline:
    """The graph of a network that cannot be built, in file order.

    Attributes
    ----------
    path, name : str
        As the network's.
    nodes : tuple of Node
        ``UNKNOWN`` stands for the shapes that are not known.
    """

    path: str
    name: str
    nodes: tuple[Node, ...]

    @property
    def unshaped(self) -> tuple[Node, ...]:
        """The layers whose tops have no known shape."""
        return tuple(node for node in self.nodes if isinstance(node.layer, UnshapedLayer))


def outline(prototxt: Prototxt, shapes: Mapping[str, Shape] | None = None) -> Outline:
    """Return what is known of a network: a layer that cannot be shaped is one without shapes.

    Parameters
    ----------
    prototxt : Prototxt
        Its layers of one state; every bottom is a top of an earlier layer.
    shapes : mapping of str to shape, optional
        Of inputs, by blob.
    """
    given = dict(shapes or {})
    prototxt = with_given_inputs(prototxt, given, is_known)
    current: dict[str, BlobId] = {}
    known: dict[BlobId, Shape] = {}
    nodes = []
    keys = layer_keys(layer.name for layer in prototxt.net.layer)
    for proto, line, key in zip(prototxt.net.layer, prototxt.lines, keys, strict=True):
        where = f"{prototxt.path}:{line}" if line else prototxt.path
        bottoms = tuple(current[name] for name in proto.bottom)
        below = tuple(known.get(blob, UNKNOWN) for blob in bottoms)
        cls = layer_class(proto.type)
        try:
            if cls is None or UNKNOWN in below:
                raise ZooError("it has no shapes")
            layer: Layer = cls(proto, where, prototxt.net.state.phase)
            own = {top: given[top] for top in proto.top if top in given}
            above = layer.input_shapes(own) if layer.is_input else layer.top_shapes(below)
            if any(d < 1 for shape in above for d in shape):
                raise ZooError("an axis below 1")
            blobs = tuple(tuple(s) for s in layer.blob_shapes(below))
        except ZooError:
            layer, above, blobs = UnshapedLayer(proto, where), [UNKNOWN] * len(proto.top), ()
        tops = []
        for name in [*proto.top, *[""] * (len(above) - len(proto.top))]:
            current[name] = BlobId(name, current[name].version + 1 if name in current else 0)
            tops.append(current[name])
        known.update(zip(tops, (tuple(s) for s in above), strict=True))
        nodes.append(Node(layer, bottoms, tuple(tops), below, tuple(tuple(s) for s in above), blobs, key))
    return Outline(prototxt.path, prototxt.net.name, tuple(nodes))
