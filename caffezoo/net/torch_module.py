"""A network as a torch module: a loop over the layers, and the scope in which a layer writes its torch form.

Importing this module imports torch (extra ``torch``): import it inside the function that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from caffezoo.errors import BindingError, LoweringError
from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import BlobId

Tops = Sequence[torch.Tensor]
Compute = Callable[..., Tops]
"""Called with the layer's module and its bottoms; returns its tops."""


class LayerModule(nn.Module):  # type: ignore[misc]
    """One layer: ``blob0``, ``blob1`` ... are its learned blobs, other tensors are constants."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.layer_name = node.name
        self.layer_type = node.layer.type
        self.compute: Compute | None = None

    def forward(self, *bottoms: torch.Tensor) -> Tops:
        assert self.compute is not None
        return self.compute(self, *bottoms)

    def extra_repr(self) -> str:
        return f"{self.layer_name!r}, {self.layer_type}"


class TorchScope:
    """What a layer sees while it writes its torch form.

    A layer returns a function of its own module and its bottoms. Tensors that it needs are registered here and read
    from the module when it runs, so that moving, casting or copying the module takes them along.

    Attributes
    ----------
    torch, F : module
        ``torch`` and ``torch.nn.functional``.
    bottom_shapes, top_shapes : tuple of shape
        At the network's own batch size: only axes after the first may be relied on.
    blobs : tuple of ndarray
        The layer's learned blobs, float32.
    """

    def __init__(self, node: Node, blobs: tuple[np.ndarray, ...], own: LayerModule) -> None:
        self.torch: Any = torch
        self.F: Any = nn.functional
        self.node = node
        self.bottom_shapes = node.bottom_shapes
        self.top_shapes = node.top_shapes
        self.blobs = blobs
        self._own = own

    def learn(self, *indices: int) -> None:
        """Register blobs as parameters, ``blob<index>`` of the module; all of them if none is named."""
        for i in indices or range(len(self.blobs)):
            self._own.register_parameter(f"blob{i}", nn.Parameter(_tensor(self.blobs[i])))

    def constant(self, name: str, value: np.ndarray) -> None:
        """Register a float32 tensor that is not trained."""
        self._own.register_buffer(name, _tensor(np.asarray(value, np.float32)))

    def refuse(self, message: str) -> LoweringError:
        """Return the error to raise where no exact form exists."""
        return LoweringError(message, where=self.node.layer.label)


class NetworkModule(nn.Module):  # type: ignore[misc]
    """A network; called with its input blobs, in order, it returns the wanted blobs by name.

    Attributes
    ----------
    layers : ModuleList of LayerModule
        In the network's order, without input layers.
    inputs, outputs : tuple of str
    """

    def __init__(self, network: Network, outputs: Sequence[str]) -> None:
        super().__init__()
        self.inputs = tuple(network.inputs)
        self.outputs = tuple(outputs)
        self.layers = nn.ModuleList()
        self._sources: list[BlobId] = []
        self._wiring: list[tuple[tuple[BlobId, ...], tuple[BlobId, ...]]] = []
        newest: dict[str, BlobId] = {}
        for node in network.nodes:
            newest.update((top.name, top) for top in node.tops)
            if node.layer.is_input:
                self._sources.extend(node.tops)
                continue
            own = LayerModule(node)
            own.compute = node.layer.torch(TorchScope(node, _blobs(network, node), own))
            self.layers.append(own)
            self._wiring.append((node.bottoms, node.tops))
        for name in self.outputs:
            network.shape(name)  # raises with the nearest names
        self._results = [newest[name] for name in self.outputs]
        self._dead = _last_uses(self._wiring, set(self._results))

    def steps(self) -> Iterator[tuple[LayerModule, tuple[BlobId, ...], tuple[BlobId, ...], tuple[BlobId, ...]]]:
        """Yield every layer with the blobs that it reads and writes, and those that nothing needs after it."""
        for layer, (bottoms, tops), dead in zip(self.layers, self._wiring, self._dead, strict=True):
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

    @property
    def results(self) -> Mapping[str, BlobId]:
        """The blob behind every output."""
        return dict(zip(self.outputs, self._results, strict=True))


def to_torch(network: Network, *, outputs: Sequence[str] | None = None) -> NetworkModule:
    """Build a module from a network with weights; it is in evaluation mode.

    Layers compute what the prototxt says for its phase: BatchNorm uses its own statistics at TEST and never changes
    them. Dropout is the one layer that asks for the module's mode: in training mode it drops.

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
    module.eval()
    return module


def _blobs(network: Network, node: Node) -> tuple[np.ndarray, ...]:
    blobs = network.weights.get(node.key, ())
    if len(blobs) != len(node.blob_shapes):
        raise BindingError("has no weights", where=node.layer.label, hint="load a caffemodel first")
    return blobs


def _tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(value, np.float32, order="C"))


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
