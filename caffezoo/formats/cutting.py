"""The part of a net that wanted blobs depend on, by the names in the file alone: no shape is needed, no layer known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from caffezoo.errors import UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import Prototxt

BlobVersion = tuple[str, int]
"""A blob's name, and how often a layer has rewritten it in place."""


@dataclass(frozen=True)
class Need:
    """What wanted blobs depend on.

    Attributes
    ----------
    layers : tuple of int
        Positions of layers, rising.
    blobs : frozenset of (str, int)
        Versions of blobs that are read, the wanted ones among them.
    """

    layers: tuple[int, ...]
    blobs: frozenset[BlobVersion]


def need_of(layers: Sequence[pb.LayerParameter], outputs: Iterable[str], where: str | None = None) -> Need:
    """Return what the last versions of blobs depend on.

    Parameters
    ----------
    layers : sequence of LayerParameter
        Of one phase, in order. A bottom that no layer makes is left to the check of the structure.
    outputs : iterable of str
    where : str, optional
        File, for the message.

    Raises
    ------
    UnknownNameError
        No layer makes such a blob; carries the nearest names.
    """
    newest: dict[str, int] = {}
    wiring: list[tuple[set[BlobVersion], set[BlobVersion]]] = []
    for layer in layers:
        bottoms = {(name, newest[name]) for name in layer.bottom if name in newest}
        newest.update({name: newest.get(name, -1) + 1 for name in layer.top})
        wiring.append((bottoms, {(name, newest[name]) for name in layer.top}))
    live: set[BlobVersion] = set()
    for name in outputs:
        if name not in newest:
            raise UnknownNameError("blob", name, newest, where=where)
        live.add((name, newest[name]))
    kept = []
    for index in reversed(range(len(layers))):
        bottoms, tops = wiring[index]
        if live & tops:
            kept.append(index)
            live |= bottoms
    return Need(tuple(reversed(kept)), frozenset(live))


def cut_prototxt(prototxt: Prototxt, outputs: Iterable[str]) -> Prototxt:
    """Return only the layers that blobs depend on: whatever else the file holds, unknown layers too, is not asked.

    Raises
    ------
    UnknownNameError
        No layer makes such a blob.
    """
    layers = prototxt.net.layer
    need = need_of(layers, outputs, prototxt.path)
    net = pb.NetParameter()
    net.CopyFrom(prototxt.net)
    del net.layer[:]
    net.layer.extend(layers[i] for i in need.layers)
    kept = set(need.layers)
    left_out = (layer.name for i, layer in enumerate(layers) if i not in kept)
    lines = tuple(prototxt.lines[i] for i in need.layers)
    return replace(prototxt, net=net, lines=lines, left_out=(*prototxt.left_out, *left_out))
