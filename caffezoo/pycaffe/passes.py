"""Passes forward and backward, layer by layer, on blobs that scripts read and write.

Every layer reads what stands in its bottoms' arrays and writes into its tops' arrays, whoever put the values there.
What torch needs for the gradients is kept from the last pass forward, a layer at a time, so that a pass backward may
begin and end anywhere.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import BlobId
from caffezoo.net.torch_layer import LayerModule
from caffezoo.net.torch_module import NetworkModule
from caffezoo.pycaffe.blob import Blob
from caffezoo.pycaffe.python_layer import Layer

# The bottom of a loss that is no prediction, to which Caffe sends no gradient (Layer::AllowForceBackward).
_LABEL_BOTTOM = 1


class Passes:
    """The layers of a net at its present shapes.

    Parameters
    ----------
    network : Network
    module : NetworkModule
    blobs : mapping of str to Blob
    params : mapping of str to sequence of Blob
        By the key of the layer.
    python : mapping of str to Layer
        Python layers by name.
    force_backward : bool
        Send gradients to inputs as well.
    """

    def __init__(
        self,
        network: Network,
        module: NetworkModule,
        blobs: Mapping[str, Blob],
        params: Mapping[str, Sequence[Blob]],
        python: Mapping[str, Layer],
        force_backward: bool,
    ) -> None:
        self.network = network
        self._blobs = blobs
        self._params = params
        self._python = python
        self._modules: dict[str, LayerModule] = {layer.node.key: layer for layer in module.layers}
        self._kept: dict[int, tuple[list[Any], list[Any]]] = {}
        self.needs = _needs_backward(network, self._modules, params, force_backward)

    def forward(self, index: int) -> None:
        """Run one layer."""
        node = self.network.nodes[index]
        if node.layer.is_input:
            return
        python = self._python.get(node.name) if node.layer.type == "Python" else None
        if python is not None:
            below, above = self._of(node.bottoms), self._of(node.tops)
            python.reshape(below, above)
            python.forward(below, above)
            return
        written = {top.name for top in node.tops}
        leaves = []
        for bottom in node.bottoms:
            x = torch.from_numpy(self._blobs[bottom.name].array)
            x = x.clone() if bottom.name in written else x
            leaves.append(x.requires_grad_(True))
        with torch.enable_grad():
            tops = list(self._modules[node.key](*leaves))
        for top, value in zip(node.named_tops, tops, strict=False):
            self._blobs[top.name].write(value.detach().numpy())
        if self.needs[index]:
            self._kept[index] = (leaves, tops)

    def backward(self, index: int, written: set[BlobId]) -> None:
        """Send the gradients of a layer's tops to its bottoms and to what it learns.

        Parameters
        ----------
        index : int
        written : set of BlobId
            Blobs whose gradients were begun in this pass: further readers add to them. It grows.
        """
        node = self.network.nodes[index]
        if not self.needs[index]:
            return
        python = self._python.get(node.name) if node.layer.type == "Python" else None
        if python is not None:
            self._python_backward(python, node, written)
            return
        if index not in self._kept:
            self.forward_again(index)
        leaves, tops = self._kept[index]
        wanted = [leaf for leaf, down in zip(leaves, self._down(node), strict=True) if down]
        params = [(self._modules[node.key].blob(i), blob) for i, blob in enumerate(self._params.get(node.key, ()))]
        learned = [(tensor, blob) for tensor, blob in params if tensor.requires_grad]
        flowing = [(top, blob) for top, blob in zip(tops, node.named_tops, strict=False) if top.requires_grad]
        if not flowing or not (wanted or learned):
            return
        found = torch.autograd.grad(
            [top for top, _ in flowing],
            [*wanted, *(tensor for tensor, _ in learned)],
            [torch.from_numpy(self._blobs[b.name].gradient.copy()).reshape(top.shape) for top, b in flowing],
            allow_unused=True,
            retain_graph=True,
        )
        gradients = iter(found)
        for bottom, down in zip(node.bottoms, self._down(node), strict=True):
            if down:
                self._give(bottom, next(gradients), written)
        for (_, blob), gradient in zip(learned, gradients, strict=True):
            if gradient is not None:
                blob.gradient[...] += gradient.numpy()

    def forward_again(self, index: int) -> None:
        """Keep what a layer's gradients need, where the pass forward was run elsewhere."""
        tops = {top.name: self._blobs[top.name].array.copy() for top in self.network.nodes[index].named_tops}
        self.forward(index)
        for name, values in tops.items():
            self._blobs[name].write(values)

    def _python_backward(self, python: Layer, node: Node, written: set[BlobId]) -> None:
        down = self._down(node)
        earlier = {b: self._blobs[b.name].gradient.copy() for b in node.bottoms if b in written}
        python.backward(self._of(node.tops), down, self._of(node.bottoms))
        for bottom, before in earlier.items():
            self._blobs[bottom.name].gradient[...] += before
        written.update(node.bottoms)

    def _give(self, bottom: BlobId, gradient: Any, written: set[BlobId]) -> None:
        own = self._blobs[bottom.name].gradient
        values = np.zeros_like(own) if gradient is None else gradient.numpy().reshape(own.shape)
        if bottom in written:
            own += values
        else:
            np.copyto(own, values)
            written.add(bottom)

    def _down(self, node: Node) -> list[bool]:
        return _propagates(node, self._flowing)

    @property
    def _flowing(self) -> set[BlobId]:
        return self.needs.flowing

    def _of(self, blobs: Sequence[BlobId]) -> list[Blob]:
        return [self._blobs[blob.name] for blob in blobs]


class _Needs(dict[int, bool]):
    """Which layers take part in a pass backward, and through which blobs it flows."""

    flowing: set[BlobId]


def _needs_backward(
    network: Network, modules: Mapping[str, LayerModule], params: Mapping[str, Sequence[Blob]], force: bool
) -> _Needs:
    """Caffe's rule (``Net::Init``): a layer takes part if a bottom needs gradients or something in it learns."""
    needs = _Needs()
    needs.flowing = set()
    for index, node in enumerate(network.nodes):
        if node.layer.is_input:
            needs[index] = False
            if force:
                needs.flowing.update(node.tops)
            continue
        module = modules.get(node.key)
        learns = bool(params.get(node.key)) and (
            node.layer.type == "Python"
            or (module is not None and any(module.blob(i).requires_grad for i in range(len(node.blob_shapes))))
        )
        needs[index] = learns or any(_propagates(node, needs.flowing)) or (force and bool(node.bottoms))
        if needs[index]:
            needs.flowing.update(node.tops)
    return needs


def _propagates(node: Node, flowing: set[BlobId]) -> list[bool]:
    """Return which bottoms of a layer get gradients."""
    asked = list(node.layer.proto.propagate_down)
    is_loss = any(node.layer.loss_weights())
    found = []
    for i, bottom in enumerate(node.bottoms):
        label = is_loss and i == _LABEL_BOTTOM and node.layer.type not in ("EuclideanLoss", "ContrastiveLoss")
        found.append(bottom in flowing and not label and (asked[i] if i < len(asked) else True))
    return found


def loss_weights(network: Network) -> dict[str, float]:
    """Return the loss weight of every top that has one, by blob."""
    found = {}
    for node in network.nodes:
        for top, weight in zip(node.tops, node.layer.loss_weights(), strict=True):
            if weight:
                found[top.name] = float(weight)
    return found
