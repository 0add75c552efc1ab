"""A network as a torch module: a loop over the layers.

Importing this module imports torch (extra ``torch``): import it inside the function that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from caffezoo.errors import BindingError, LoweringError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import BlobId
from caffezoo.net.torch_layer import Compute, LayerModule, LearnedBlob, TorchScope

__all__ = ["Compute", "LayerModule", "LearnedBlob", "NetworkModule", "TorchScope", "to_torch"]


class NetworkModule(nn.Module):  # type: ignore[misc]
    """A network; called with its input blobs, in order, it returns the wanted blobs by name.

    The keys of ``state_dict()`` are ``<layer>.blob<index>`` (a ``.`` in a layer's name reads ``/``).

    Attributes
    ----------
    layers : tuple of LayerModule
        In the network's order, without input layers.
    inputs, outputs : tuple of str
        Data layers' tops are inputs, labels as well.
    losses : tuple of (BlobId, float)
        Every top with a loss weight other than 0, and the weight.
    """

    def __init__(self, network: Network, outputs: Sequence[str]) -> None:
        super().__init__()
        self.inputs = tuple(network.inputs)
        self.outputs = tuple(outputs)
        self._sources: list[BlobId] = []
        self._wiring: list[tuple[tuple[BlobId, ...], tuple[BlobId, ...]]] = []
        self._newest: dict[str, BlobId] = {}
        losses: list[tuple[BlobId, float]] = []
        for node in network.nodes:
            self._newest.update((top.name, top) for top in node.tops)
            weights = zip(node.tops, node.layer.loss_weights(), strict=True)
            losses.extend((top, weight) for top, weight in weights if weight)
            if node.layer.is_input:
                self._sources.extend(node.tops)
                continue
            own = LayerModule(node)
            own.compute = node.layer.torch(TorchScope(node, partial(_blobs, network, node), own))
            # Caffe's names may hold what torch forbids in attributes; as keys of the children they do no harm.
            self._modules[_key(node.name, self._modules)] = own
            self._wiring.append((node.bottoms, node.tops))
        self.losses = tuple(losses)
        for name in self.outputs:
            network.shape(name)  # raises with the nearest names
        self._results = [self._newest[name] for name in self.outputs]
        self._dead = _last_uses(self._wiring, {*self._results, *(top for top, _ in self.losses)})
        self._share_by_name()
        for blob in self.learned():
            if isinstance(blob.tensor, nn.Parameter):
                blob.tensor.requires_grad_(blob.lr_mult != 0)

    @property
    def layers(self) -> tuple[LayerModule, ...]:
        return tuple(self._modules.values())

    def steps(self) -> Iterator[tuple[LayerModule, tuple[BlobId, ...], tuple[BlobId, ...], tuple[BlobId, ...]]]:
        """Yield every layer with the blobs that it reads and writes, and those that nothing needs after it."""
        for layer, (bottoms, tops), dead in zip(self._modules.values(), self._wiring, self._dead, strict=True):
            yield layer, bottoms, tops, dead

    def sources(self, inputs: Sequence[torch.Tensor]) -> dict[BlobId, torch.Tensor]:
        """Return the blobs that the first layers read."""
        return dict(zip(self._sources, inputs, strict=True))

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        values = self.sources(inputs)
        for layer, bottoms, tops, dead in self.steps():
            values.update(zip(tops, layer(*(values[b] for b in bottoms)), strict=True))
            for blob in dead:
                del values[blob]
        return {name: values[blob] for name, blob in zip(self.outputs, self._results, strict=True)}

    def blobs(self, *inputs: torch.Tensor) -> dict[BlobId, torch.Tensor]:
        """Run the network and return every version of every blob, inputs included, in the order of the layers."""
        values = self.sources(inputs)
        for layer, bottoms, tops, _ in self.steps():
            values.update(zip(tops, layer(*(values[b] for b in bottoms)), strict=True))
        return values

    def newest(self, blob: str) -> BlobId:
        """Return the last version of a blob."""
        return self._newest[blob]

    def loss(self, values: Mapping[BlobId, torch.Tensor]) -> torch.Tensor:
        """Return the sum of all loss tops times their weights, from the blobs of a run; 0 where there are none."""
        total = torch.zeros(())
        for top, weight in self.losses:
            total = values[top].float().sum() * weight + total.to(values[top].device)
        return total

    @property
    def results(self) -> Mapping[str, BlobId]:
        """The blob behind every output."""
        return dict(zip(self.outputs, self._results, strict=True))

    def learned(self) -> list[LearnedBlob]:
        """Return every learned blob of every layer in Caffe's order, shared ones too: those that own are to be updated.

        Raises
        ------
        LoweringError
            A shared blob's multiplier differs from its owner's, which Caffe refuses.
        """
        owners: dict[str, str] = {}
        multipliers: dict[str, dict[str, float]] = {}
        found = []
        for key, layer in self._modules.items():
            params = layer.node.layer.param_specs(len(layer.node.blob_shapes))
            for i, spec in enumerate(params):
                name = f"{key}.blob{i}"
                owner = owners.setdefault(spec.name, name) if spec.name else name
                known = multipliers.setdefault(owner, {})
                for field in ("lr_mult", "decay_mult"):
                    value = float(getattr(spec, field))
                    if spec.HasField(field) and known.setdefault(field, value) != value:
                        raise LoweringError(
                            f"blob {i}, shared as '{spec.name}', has {field} {value:g}, its owner {known[field]:g}",
                            where=layer.node.layer.label,
                        )
                found.append((name, layer, i, owner))
        return [
            LearnedBlob(
                name,
                layer.layer_name,
                i,
                multipliers[owner].get("lr_mult", 1.0),
                multipliers[owner].get("decay_mult", 1.0),
                owner,
                layer.blob(i),
            )
            for name, layer, i, owner in found
        ]

    def weights(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Return copies of all learned blobs by node key, as :class:`~caffezoo.net.graph.Network` takes them."""
        return {layer.node.key: layer.blobs() for layer in self.layers if layer.node.blob_shapes}

    def share_with(self, other: NetworkModule) -> None:
        """Take over the blobs of another module's layers of the same name: what trains there is seen here.

        Raises
        ------
        LoweringError
            A layer of that name has other blobs.
        """
        theirs = {layer.layer_name: layer for layer in other.layers}
        for layer in self.layers:
            source = theirs.get(layer.layer_name)
            if source is None:
                continue
            own, found = layer.node.blob_shapes, source.node.blob_shapes
            if own != found:
                raise LoweringError(
                    f"has blobs {[list(s) for s in own]} here and {[list(s) for s in found]} in the other net",
                    where=layer.node.layer.label,
                )
            for i in range(len(own)):
                layer.share(i, source, i)

    def _share_by_name(self) -> None:
        places = {f"{key}.blob{i}": (m, i) for key, m in self._modules.items() for i in range(len(m.node.blob_shapes))}
        for blob in self.learned():
            if not blob.is_owner:
                layer, index = places[blob.name]
                layer.share(index, *places[blob.owner])


def to_torch(network: Network, *, outputs: Sequence[str] | None = None) -> NetworkModule:
    """Build a module from a network with weights; it is in training mode where the network's phase is TRAIN.

    Layers compute what the prototxt says for its phase: at TRAIN BatchNorm uses the batch's statistics. When training
    it also moves its own, as Caffe does, and Dropout drops.

    Parameters
    ----------
    network : Network
    outputs : sequence of str, optional
        Blobs to return; the network's outputs if not given.

    Raises
    ------
    BindingError
        If a layer has no weights.
    LoweringError
        If a layer's configuration has no exact torch form.
    """
    module = NetworkModule(network, network.outputs if outputs is None else outputs)
    module.train(network.phase == pb.TRAIN)
    return module


def _blobs(network: Network, node: Node) -> tuple[np.ndarray, ...]:
    blobs = network.weights.get(node.key, ())
    if len(blobs) != len(node.blob_shapes):
        raise BindingError("has no weights", where=node.layer.label, hint="load a caffemodel first")
    return blobs


def _key(name: str, taken: Mapping[str, object]) -> str:
    """Return a layer's key: its name without the one character that separates torch's keys."""
    key = name.replace(".", "/")
    while key in taken:
        key += "/"
    return key


def _last_uses(
    wiring: Sequence[tuple[tuple[BlobId, ...], tuple[BlobId, ...]]], kept: set[BlobId]
) -> list[tuple[BlobId, ...]]:
    """Return, for every layer, the blobs that no later layer reads: in inference their memory can go."""
    seen, dead = set(kept), []
    for bottoms, tops in reversed(wiring):
        last = tuple(dict.fromkeys(b for b in (*bottoms, *tops) if b not in seen))
        seen.update(last)
        dead.append(last)
    return dead[::-1]
