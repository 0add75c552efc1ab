"""What the layers and blobs of a net are called."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from caffezoo.pycaffe.blob import Blob, BlobVec

if TYPE_CHECKING:
    from caffezoo.net.graph import Network
    from caffezoo.pycaffe.feeding import Feeding


class NetLayer:
    """A layer of a net: its type and what it learns."""

    def __init__(self, name: str, kind: str, blobs: BlobVec) -> None:
        self.name = name
        self.type = kind
        self.blobs = blobs

    def __repr__(self) -> str:
        return f"<{self.type} '{self.name}'>"


class NetNames:
    """The part of a Net that names things."""

    blobs: OrderedDict[str, Blob]
    _network: Network
    _feeding: Feeding
    _given: dict[str, BlobVec]
    _loss_weights: dict[str, float]

    @property
    def _layer_names(self) -> list[str]:
        return [node.name for node in self._network.nodes]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def params(self) -> OrderedDict[str, BlobVec]:
        nodes = self._network.nodes
        return OrderedDict((n.name, self._given[n.key]) for n in nodes if len(self._given.get(n.key, ())))

    @property
    def layers(self) -> list[NetLayer]:
        nodes = self._network.nodes
        return [NetLayer(n.name, n.layer.type, self._given.get(n.key, BlobVec())) for n in nodes]

    @property
    def layer_dict(self) -> OrderedDict[str, NetLayer]:
        return OrderedDict((layer.name, layer) for layer in self.layers)

    @property
    def inputs(self) -> list[str]:
        """Blobs of Input layers, which the caller fills."""
        nodes = self._network.nodes
        return [t.name for n in nodes if n.layer.is_input and n.name not in self._feeding.feeds for t in n.tops]

    @property
    def outputs(self) -> list[str]:
        return list(self._network.outputs)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((n.name, [b.name for b in n.bottoms]) for n in self._network.nodes)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((n.name, [t.name for t in n.named_tops]) for n in self._network.nodes)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        return OrderedDict((name, self._loss_weights.get(name, 0.0)) for name in self.blobs)
