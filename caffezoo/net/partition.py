"""A network cut where layers run on the host: parts that an engine compiles, and the layers between them.

Every node has a level, the longest way to it counted in changes between engine and host: even levels are parts for an
engine, odd levels layers for the host. All nodes of a level run together, so there are as few parts as there can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.cutting import cut
from caffezoo.net.graph import Network
from caffezoo.net.layer import BlobId, Shape
from caffezoo.net.node import Node


@dataclass(frozen=True)
class EnginePart:
    """What an engine compiles.

    Attributes
    ----------
    network : Network
        With Input layers for what comes from outside it; layers keep their names and weights.
    inputs, outputs : mapping of BlobId to str
        Blobs of the whole network by what they are called here.
    rows : mapping of BlobId to BlobId
        Outputs whose axis 0 is as long as that of an input whose length only data give.
    """

    network: Network
    inputs: Mapping[BlobId, str]
    outputs: Mapping[BlobId, str]
    rows: Mapping[BlobId, BlobId]


@dataclass(frozen=True)
class HostPart:
    """Layers that run in numpy, in order."""

    nodes: tuple[Node, ...]


Part = EnginePart | HostPart


@dataclass(frozen=True)
class Partition:
    """The parts of a network in the order in which they run.

    Attributes
    ----------
    parts : tuple of EnginePart or HostPart
    sources : mapping of BlobId to str
        The network's inputs that the parts read, by name.
    outputs : mapping of str to BlobId
        The wanted blobs.
    shapes : mapping of BlobId to shape
        Of every blob of the parts: the most that there can be.
    """

    parts: tuple[Part, ...]
    sources: Mapping[BlobId, str]
    outputs: Mapping[str, BlobId]
    shapes: Mapping[BlobId, Shape]


def has_host_layers(
    network: Network, outputs: Sequence[str] | None = None, on_host: Callable[[Node], bool] | None = None
) -> bool:
    """Whether wanted blobs (all outputs if not given) depend on a layer that runs on the host."""
    chosen = on_host or _is_host
    return any(chosen(node) for node in cut(network, network.outputs if outputs is None else outputs).nodes)


def partition(
    network: Network, outputs: Sequence[str] | None = None, on_host: Callable[[Node], bool] | None = None
) -> Partition:
    """Cut a network where layers run on the host.

    Parameters
    ----------
    network : Network
        With weights, where its layers have any.
    outputs : sequence of str, optional
        Wanted blobs; the network's outputs if not given.
    on_host : function of Node to bool, optional
        Which layers run on the host; those whose class says so if not given.
    """
    wanted = tuple(network.outputs if outputs is None else outputs)
    network = cut(network, wanted)
    nodes = network.nodes
    newest = {top.name: top for node in network.nodes for top in node.tops}
    results = {name: newest[name] for name in wanted}
    chosen = on_host or _is_host
    shapes = {b: s for n in nodes for b, s in zip(n.tops, n.top_shapes, strict=True)}
    sources = {top: top.name for node in nodes if node.layer.is_input for top in node.tops}
    levels = _levels(nodes, chosen)
    rows = _rows(nodes, chosen)
    names = _blob_names(newest, shapes)
    parts: list[Part] = []
    for level in sorted(set(levels.values())):
        members = tuple(node for node in nodes if levels.get(node.key) == level)
        if level % 2:
            parts.append(HostPart(members))
            continue
        made = {top for node in members for top in node.tops}
        later = {b for node in nodes if levels.get(node.key, -1) > level for b in node.bottoms}
        kept = [top for node in members for top in node.tops if top in later or top in results.values()]
        read = tuple(dict.fromkeys(b for node in members for b in node.bottoms if b not in made))
        parts.append(_engine_part(network, members, read, kept, names, rows, shapes))
    return Partition(tuple(parts), sources, results, shapes)


def _is_host(node: Node) -> bool:
    return node.layer.on_host


def _levels(nodes: Sequence[Node], on_host: Callable[[Node], bool]) -> dict[str, int]:
    """Return every node's level by its key; input layers have none."""
    of_blob: dict[BlobId, int] = {}
    levels = {}
    for node in nodes:
        if node.layer.is_input:
            continue
        odd = int(on_host(node))
        level = odd
        for blob in node.bottoms:
            below = of_blob.get(blob, 0)
            level = max(level, below if below % 2 == odd else below + 1)
        levels[node.key] = level
        of_blob.update((top, level) for top in node.tops)
    return levels


def _rows(nodes: Sequence[Node], on_host: Callable[[Node], bool]) -> dict[BlobId, BlobId]:
    """Map every blob whose axis 0 follows a blob made on the host to that blob."""
    rows: dict[BlobId, BlobId] = {}
    for node in nodes:
        if on_host(node):
            rows.update((top, top) for top in node.tops)
            continue
        leading = [(rows[b], s[0]) for b, s in zip(node.bottoms, node.bottom_shapes, strict=True) if s and b in rows]
        for top, shape in zip(node.tops, node.top_shapes, strict=True):
            same = [source for source, length in leading if shape and shape[0] == length]
            if same:
                rows[top] = same[0]
    return rows


def _blob_names(newest: Mapping[str, BlobId], shapes: Mapping[BlobId, Shape]) -> dict[BlobId, str]:
    """Return a name of its own for every version of every blob; the last version keeps the blob's."""
    names: dict[BlobId, str] = {}
    taken = {blob.name for blob in shapes}
    for blob in shapes:
        name = blob.name
        if newest.get(blob.name) != blob or not name:
            name = f"{blob.name}/{blob.version}"
            while name in taken:
                name += "'"
            taken.add(name)
        names[blob] = name
    return names


def _engine_part(
    network: Network,
    members: Sequence[Node],
    read: Sequence[BlobId],
    kept: Sequence[BlobId],
    names: Mapping[BlobId, str],
    rows: Mapping[BlobId, BlobId],
    shapes: Mapping[BlobId, Shape],
) -> EnginePart:
    net, lines = pb.NetParameter(), []
    for blob in read:
        source = net.layer.add(name=f"{names[blob]}/input", type="Input", top=[names[blob]])
        source.input_param.shape.add(dim=shapes[blob])
        lines.append(0)
    line_of = dict(zip((n.key for n in network.nodes), network.prototxt.lines, strict=True))
    for node in members:
        layer = net.layer.add()
        layer.CopyFrom(node.layer.proto)
        layer.name = node.key
        layer.bottom[:] = [names[b] for b in node.bottoms]
        layer.top[:] = [names[t] for t in node.named_tops]
        layer.phase = pb.TRAIN if node.layer.phase == pb.TRAIN else pb.TEST
        lines.append(line_of[node.key])
    outputs = {}
    inner = {b for node in members for b in node.bottoms}
    for blob in kept:
        outputs[blob] = names[blob]
        if blob in inner:  # a copy that nothing reads: an output of the part, so that folding keeps its value
            outputs[blob] = f"{names[blob]}/out"
            net.layer.add(name=f"{names[blob]}/copy", type="Split", bottom=[names[blob]], top=[outputs[blob]])
            lines.append(0)
    weights = {node.key: network.weights.held(node.key) for node in members if node.key in network.weights}
    part = network.rewritten(net, lines, weights)
    varying = {blob: rows[blob] for blob in kept if blob in rows}
    return EnginePart(part, {blob: names[blob] for blob in read}, outputs, varying)
