"""Folding: batch norm, scale and bias taken into the convolution or product before (or after) them.

The arithmetic is each layer class's own (``Layer.affine``, ``absorb_after``, ``absorb_before``); this module decides
where it is legal. A map folds backwards into the layer that feeds it when that layer's output is read by nothing else,
and forwards into the layer that reads it when nothing else does and no zero padding lies between.
What cannot fold is collapsed: BatchNorm and Scale become one Scale. Everything is computed in float64 and stored as
float32.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce

import numpy as np

from caffezoo.errors import BindingError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.layer_keys import layer_keys
from caffezoo.formats.stored_array import StoredArray
from caffezoo.net.cutting import cut
from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import Affine, BlobId, Layer
from caffezoo.net.layer_weights import Held, LayerWeights
from caffezoo.net.registry import make_layer


@dataclass(frozen=True)
class Folding:
    """What :func:`fold` did.

    Attributes
    ----------
    network : Network
        The folded network, with weights.
    folded : tuple of (str, str)
        Each layer that is gone and the product (convolution, inner product) that took it in.
    collapsed : tuple of (str, str)
        Each layer that is gone and the Scale (or Power) that took it in.
    kept : tuple of (str, str)
        Each affine layer that stays and why.
    """

    network: Network
    folded: tuple[tuple[str, str], ...]
    collapsed: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str], ...]


class _Item:
    """A layer in the working graph; wiring by blob version."""

    def __init__(self, node: Node, weights: LayerWeights, line: int) -> None:
        self.key = node.key
        self.layer: Layer = node.layer
        self.held: tuple[Held, ...] = weights.held(node.key)
        self.bottoms = list(node.bottoms)
        self.tops = list(node.tops)
        self.line = line

    @property
    def blobs(self) -> tuple[np.ndarray, ...]:
        """Its blobs; what is in a file is read, and not kept."""
        return tuple(blob.read() if isinstance(blob, StoredArray) else blob for blob in self.held)

    def replace(self, proto: pb.LayerParameter, blobs: tuple[np.ndarray, ...]) -> None:
        self.layer = make_layer(proto, self.layer.where, self.layer.phase)
        self.held = blobs


def fold(network: Network) -> Folding:
    """Fold every per-channel affine layer of a network with weights that can be folded exactly.

    Raises
    ------
    BindingError
        If the network has no weights.
    """
    items = []
    for node, line in zip(network.nodes, network.prototxt.lines, strict=True):
        item = _Item(node, network.weights, line)
        if len(item.held) != len(node.blob_shapes):
            raise BindingError("has no weights to fold", where=node.layer.label)
        items.append(item)
    channels = {b: s[1] for n in network.nodes for b, s in zip(n.tops, n.top_shapes, strict=True) if len(s) > 1}
    shared = _shared_layers(network)
    work = _Work(items, channels, shared)
    work.backwards()
    work.forwards()
    net = pb.NetParameter()
    left = [item for item in items if item not in work.gone]
    for item in left:
        proto = pb.LayerParameter()
        proto.CopyFrom(item.layer.proto)
        del proto.bottom[:], proto.top[:]
        proto.bottom.extend(b.name for b in item.bottoms)
        proto.top.extend(t.name for t in item.tops if t.name)
        net.layer.append(proto)
    keys = layer_keys(item.layer.name for item in left)
    weights = {key: item.held for key, item in zip(keys, left, strict=True) if item.held}
    result = network.rewritten(net, [item.line for item in left], weights, inputs=network.inputs)
    return Folding(result, tuple(work.folded), tuple(work.collapsed), tuple(work.kept.items()))


def folded_for(network: Network, outputs: Collection[str]) -> Network:
    """Return the part of a network that blobs depend on, folded where every one of them is still there afterwards."""
    part = cut(network, outputs)
    return fold(part).network if set(outputs) <= set(part.outputs) else part


def _shared_layers(network: Network) -> set[str]:
    """Return the keys of layers that share a blob with another by ``param { name }``."""
    names = [(p.name, node.key) for node in network.nodes for p in node.layer.proto.param if p.name]
    count = Counter(name for name, _ in names)
    return {layer for name, layer in names if count[name] > 1}


class _Work:
    """The graph while it is being folded."""

    def __init__(self, items: list[_Item], channels: dict[BlobId, int], shared: set[str]) -> None:
        self.items = items
        self.channels = channels
        self.shared = shared
        self.producer = {top: item for item in items for top in item.tops}
        self.readers: dict[BlobId, list[_Item]] = defaultdict(list)
        for item in items:
            for blob in item.bottoms:
                self.readers[blob].append(item)
        self.gone: set[_Item] = set()
        self.folded: list[tuple[str, str]] = []
        self.collapsed: list[tuple[str, str]] = []
        self.kept: dict[str, str] = {}

    def affine(self, item: _Item) -> Affine | None:
        """Return the item's map, if it is a layer of one bottom and top that owns its blobs."""
        if type(item.layer).affine is Layer.affine:
            return None  # not one of the kinds that are: its blobs need not be read
        if len(item.bottoms) != 1 or len(item.tops) != 1 or item.bottoms[0] not in self.channels:
            return None
        return item.layer.affine(item.blobs, self.channels[item.bottoms[0]])

    def backwards(self) -> None:
        """Fold every run of maps into the layer before it, or into one map."""
        for item in self.items:
            if item in self.gone:
                continue
            if self.affine(item) is None:
                if reason := item.layer.why_not_affine():
                    self.kept[item.layer.name] = reason
                continue
            if item.key in self.shared:
                self.kept[item.layer.name] = "its blobs are shared with another layer"
                continue
            run, maps = self._run(item)
            whole = reduce(_then, maps)
            feeder, source, reason = self._source(item)
            if source is not None and feeder is not None:
                folded = source.layer.absorb_after(source.blobs, whole)
                if folded is not None:
                    source.replace(folded.proto, folded.blobs)
                    self._rewire(feeder, item.bottoms[0], run[-1].tops[0])
                    self._remove(run, source)
                    continue
                reason = f"'{source.layer.name}' ({source.layer.type}) before it is not linear in its channels"
            self.kept[item.layer.name] = reason
            nothing = Affine(np.ones_like(whole.a), np.zeros_like(whole.b))
            alone = item.layer.absorb_after(item.blobs, reduce(_then, maps[1:], nothing))
            if alone is not None:
                item.replace(alone.proto, alone.blobs)
                self._rewire(item, item.tops[0], run[-1].tops[0])
                self._remove(run[1:], item)

    def _run(self, item: _Item) -> tuple[list[_Item], list[Affine]]:
        """Return a map and the maps that follow it with no other reader between."""
        run, maps = [], []
        while (map_ := self.affine(item)) is not None and item.key not in self.shared:
            run.append(item)
            maps.append(map_)
            readers = self.readers[item.tops[0]]
            if len(readers) != 1:
                break
            item = readers[0]
        return run, maps

    def _rewire(self, item: _Item, old: BlobId, new: BlobId) -> None:
        """Let an item write another blob in place of one of its tops."""
        item.tops[item.tops.index(old)] = new
        self.producer[new] = item

    def forwards(self) -> None:
        """Fold the maps that are left into the layer after them."""
        for item in self.items:
            map_ = None if item in self.gone else self.affine(item)
            if map_ is None or item.key in self.shared:
                continue
            readers = self.readers[item.tops[0]]
            if len(readers) != 1 or readers[0].key in self.shared or len(readers[0].bottoms) != 1:
                continue
            source = item.bottoms[0]
            rewritten = any(t.name == source.name and t.version > source.version for t in self.producer)
            if rewritten and item.tops[0].name != source.name:
                continue  # the reader would find a later version of the blob under this name
            folded = readers[0].layer.absorb_before(readers[0].blobs, map_)
            if folded is not None:
                readers[0].replace(folded.proto, folded.blobs)
                readers[0].bottoms = [source]
                self.readers[source] = [r for r in self.readers[source] if r is not item] + readers
                self.kept.pop(item.layer.name, None)
                self._remove([item], readers[0])

    def _source(self, item: _Item) -> tuple[_Item | None, _Item | None, str]:
        """Return the item that feeds a map and the layer behind it (past identities), or why there is none."""
        blob = item.bottoms[0]
        feeder = None
        while True:
            producer = self.producer[blob]
            feeder = feeder or producer
            if len(self.readers[blob]) > 1:
                return None, None, f"another layer also reads '{blob.name}'"
            if producer.key in self.shared:
                return None, None, f"the blobs of '{producer.layer.name}' are shared"
            if not (producer.layer.is_identity and len(producer.tops) == 1):
                return feeder, producer, ""
            blob = producer.bottoms[0]

    def _remove(self, items: list[_Item], into: _Item) -> None:
        record = self.collapsed if self.affine(into) is not None else self.folded
        for item in items:
            self.gone.add(item)
            record.append((item.layer.name, into.layer.name))


def _then(first: Affine, second: Affine) -> Affine:
    return Affine(second.a * first.a, second.a * first.b + second.b)
