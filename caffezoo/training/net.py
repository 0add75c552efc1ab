"""A net in training: its module, what feeds it, and its passes forward and backward.

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from caffezoo.errors import TrainingError, ZooError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.blobs import WeightsFile
from caffezoo.formats.phases import filter_net
from caffezoo.formats.prototxt import Prototxt
from caffezoo.net.binding import bind
from caffezoo.net.graph import Network
from caffezoo.net.layer import BlobId, Shape
from caffezoo.net.registry import make_layer
from caffezoo.net.torch_layer import LayerModule, LearnedBlob
from caffezoo.net.torch_module import NetworkModule, to_torch
from caffezoo.training.feeds.base import Feed, FeedOptions, Prefetcher, make_feed
from caffezoo.training.fillers import filled_weights

LABELS_HINT = "are all labels below the number of classes, and all batches of one size?"


@dataclass(frozen=True)
class Output:
    """A blob that no layer reads, after a pass.

    Attributes
    ----------
    name : str
    values : float32 array
        Flat.
    loss_weight : float
        0 where it is no loss.
    """

    name: str
    values: np.ndarray
    loss_weight: float


class TrainingNet:
    """One phase of a net with weights and data.

    Parameters
    ----------
    prototxt : Prototxt
        Upgraded; its state chooses the layers.
    state : NetState
        Phase, level and stages.
    options : FeedOptions
    seed : int or None
        Of the fillers.
    weights : mapping of str to sequence of ndarray, optional
        In place of what the fillers give.
    device : str
        Of torch.
    channels_last : bool
        Keep images and kernels in the order that is quicker on most machines; the values are the same.

    Attributes
    ----------
    network : Network
        The layers and shapes; its weights are those that the net began with.
    module : NetworkModule
        The weights.
    feeds : dict of str to Feed
        The sources of the data layers, by layer name.
    values : dict of BlobId to Tensor
        Every blob of the last pass, where ``keep_blobs`` is set; otherwise its outputs and losses.
    keep_blobs : bool
        Keep all blobs of a pass, and their gradients.
    autocast : torch.dtype or None
        Compute forward passes in this type where torch holds it safe.

    Raises
    ------
    ZooError
        The net cannot be, or its data cannot be read.
    """

    def __init__(
        self,
        prototxt: Prototxt,
        state: pb.NetState,
        options: FeedOptions | None = None,
        *,
        seed: int | None = None,
        weights: Mapping[str, Sequence[np.ndarray]] | None = None,
        device: str = "cpu",
        channels_last: bool = False,
    ) -> None:
        self.options = options or FeedOptions()
        self.device = device
        self.keep_blobs = False
        self.autocast: torch.dtype | None = None
        self.channels_last = channels_last
        kept = filter_net(prototxt, state.phase, state.level, state.stage)
        self.phase = int(state.phase)
        self.feeds: dict[str, Feed] = {}
        shapes: dict[str, Shape] = {}
        for proto, line in zip(kept.net.layer, kept.lines, strict=True):
            where = f"{kept.path}:{line}" if line else kept.path
            layer = make_layer(proto, where, self.phase)
            if layer.is_input:
                feed = make_feed(proto, self.phase, layer.label, self.options)
                self.feeds[proto.name] = feed
                shapes.update(zip(proto.top, feed.shapes, strict=True))
        network = Network(kept, shapes)
        self.network = network.with_weights(weights if weights is not None else filled_weights(network, seed))
        self.module: NetworkModule = to_torch(self.network).to(device)
        if channels_last:
            self.module.to(memory_format=torch.channels_last)
        self.outputs = tuple(sorted(self.network.outputs))  # Caffe keeps them in a set
        self._prefetchers = [Prefetcher(feed) for feed in self.feeds.values()]
        weighted: dict[str, float] = {top.name: weight for top, weight in self.module.losses}
        self._loss_weights = {name: weighted.get(name, 0.0) for name in self.outputs}
        self.values: dict[BlobId, Any] = {}

    @property
    def name(self) -> str:
        return self.network.name

    def blobs(self) -> list[LearnedBlob]:
        """Return the learned blobs that own their values, in Caffe's order."""
        return [blob for blob in self.module.learned() if blob.is_owner]

    def inputs(self) -> list[Any]:
        """Return the tops of all data layers for the next pass."""
        arrays = [array for prefetcher in self._prefetchers for array in prefetcher.next()]
        return [self._tensor(array) for array in arrays]

    def forward(self, inputs: Sequence[Any] | None = None) -> Any:
        """Run the net on the next batch and return its loss, with the graph for a pass backward.

        Parameters
        ----------
        inputs : sequence of Tensor, optional
            In place of the next batch.
        """
        values: dict[BlobId, Any] = self.module.sources(self.inputs() if inputs is None else inputs)
        sources = dict(values)
        kind = self.device.partition(":")[0]
        with torch.autocast(kind, dtype=self.autocast, enabled=self.autocast is not None):
            for layer, bottoms, tops, dead in self.module.steps():
                try:
                    above = layer(*(values[b] for b in bottoms))
                except RuntimeError as error:
                    where, said = layer.node.layer.label, str(error).partition("\n")[0]
                    raise TrainingError(f"it cannot run: {said}", where=where, hint=LABELS_HINT) from None
                values.update(zip(tops, above, strict=True))
                if self.keep_blobs:
                    for x in above:
                        if x.requires_grad and not x.is_leaf:
                            x.retain_grad()
                else:
                    for blob in dead:
                        del values[blob]
            loss = self.module.loss(values)
        self.values = values if self.keep_blobs else {**sources, **values}
        return loss

    def results(self) -> list[Output]:
        """Return the net's outputs of the last pass, in Caffe's order (by name)."""
        found = []
        for name in self.outputs:
            value = self.values[self.module.newest(name)]
            flat = value.detach().float().cpu().numpy().reshape(-1)
            found.append(Output(name, flat, self._loss_weights[name]))
        return found

    def copy_trained(self, file: WeightsFile) -> list[str]:
        """Take over the blobs of all layers that a file has too, by name, as Caffe's ``CopyTrainedLayersFrom``.

        Returns
        -------
        list of str
            The layers with blobs that the file lacks, which keep theirs.

        Raises
        ------
        BindingError
            A layer's blobs are of another number or shape.
        """
        names = {layer.name for layer in file.layers if layer.blobs}
        nodes = [node for node in self.network.nodes if node.name in names]
        found = bind(nodes, file).weights
        for layer in self.module.layers:
            if layer.node.key in found:
                set_blobs(layer, found[layer.node.key])
        return [n.name for n in self.network.nodes if n.blob_shapes and n.name not in names]

    def weights(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Return copies of all blobs by the key of their layer."""
        return {m.node.key: m.blobs() for m in self.module.layers if m.node.blob_shapes}

    def share_with(self, other: TrainingNet) -> None:
        """Use the blobs of another net's layers of the same name."""
        try:
            self.module.share_with(other.module)
        except ZooError as error:
            raise TrainingError(f"the test net and the train net do not fit: {error}") from None

    def first_not_finite(self, inputs: Sequence[Any]) -> str:
        """Run the net once more on a batch and say where a value was no finite number first."""
        with torch.no_grad():
            for layer in self.module.layers:
                for i, blob in enumerate(layer.blobs()):
                    if not np.isfinite(blob).all():
                        return f"blob {i} of layer '{layer.layer_name}' holds values that are not finite"
            values = self.module.sources(inputs)
            for source, value in values.items():
                if not torch.isfinite(value).all():
                    return f"the data '{source.name}' hold values that are not finite"
            for layer, bottoms, tops, _ in self.module.steps():
                above = layer(*(values[b] for b in bottoms))
                for x in above:
                    if not torch.isfinite(x.float()).all():
                        return f"the output of layer '{layer.layer_name}' ({layer.layer_type}) was the first to go"
                values.update(zip(tops, above, strict=True))
        return "every layer's output is finite, and their sum is not"

    @property
    def position(self) -> int:
        """Number of the batch that comes next."""
        return self._prefetchers[0].position if self._prefetchers else 0

    def seek(self, number: int) -> None:
        """Go on with another batch."""
        for prefetcher in self._prefetchers:
            prefetcher.seek(number)

    def close(self) -> None:
        """Stop reading data."""
        for prefetcher in self._prefetchers:
            prefetcher.close()

    def _tensor(self, array: np.ndarray) -> Any:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.channels_last and tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor.to(self.device, non_blocking=True)


def set_blobs(layer: LayerModule, blobs: Sequence[np.ndarray]) -> None:
    """Write a layer's blobs in place."""
    with torch.no_grad():
        for i, blob in enumerate(blobs):
            layer.blob(i).copy_(torch.from_numpy(np.array(blob, np.float32)))


def mean_magnitude(x: Any) -> float:
    """Return Caffe's ``asum / count``; 0 for a blob without values."""
    return 0.0 if x is None or not x.numel() else float(x.detach().abs().double().mean())


def norms(blobs: Sequence[LearnedBlob]) -> Iterator[tuple[float, float]]:
    """Yield the L1 and the L2 norm of all values, then of all gradients."""
    for parts in ([b.tensor.detach() for b in blobs], [b.tensor.grad for b in blobs if b.tensor.grad is not None]):
        yield (
            math.fsum(float(p.abs().double().sum()) for p in parts),
            math.sqrt(math.fsum(float(p.double().square().sum()) for p in parts)),
        )
