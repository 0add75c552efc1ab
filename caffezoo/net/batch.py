"""The batch axis: whether a network runs at any batch size, and which of its blobs hold one sample a place of axis 0.

Both are read off the shapes at the present batch size and at the next larger one, never off a layer's type: a Reshape
with the batch written into it, a Slice along axis 0 or a learned blob that spans the batch each tie a network to the
batch that its file declares.
"""

from __future__ import annotations

from dataclasses import dataclass

from caffezoo.errors import NetworkError, ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.layer import BlobId, Shape


@dataclass(frozen=True)
class BatchAxis:
    """What the batch axis of a network is.

    Attributes
    ----------
    free : bool
        Whether every layer takes any batch size with the same blobs, and no axis but the first follows it.
    reason : str
        Why it is not free; empty where it is.
    samples : frozenset of BlobId
        Blobs whose values at one place of axis 0 come from the inputs' values at that place alone.
    constants : frozenset of BlobId
        Blobs that depend on no sample.
    larger : mapping of BlobId to shape
        Shapes at one sample more; empty where there is no such network.
    """

    free: bool
    reason: str
    samples: frozenset[BlobId]
    constants: frozenset[BlobId]
    larger: dict[BlobId, Shape]


def batch_axis(network: Network) -> BatchAxis:
    """Return what is known of a network's batch axis at its present shapes."""
    larger: dict[BlobId, Shape] = {}
    reason = _fixed_by(network, larger)
    samples, constants = _samples(network, larger)
    return BatchAxis(not reason, reason, samples, constants, larger)


def at_batch(network: Network, batch: int) -> Network:
    """Return a network at a batch size.

    Raises
    ------
    ShapeError
        It only runs at its own; the hint says at which.
    """
    if network.batch == batch:
        return network
    try:
        return network.reshaped(batch=batch)
    except NetworkError as error:
        raise ShapeError(
            f"it does not run at batch size {batch}: {error.message}",
            where=error.where or network.path,
            hint=f"it is made for a batch of {network.batch}",
        ) from None


def possible_batch(network: Network, wanted: int) -> int:
    """Return a batch size that a network runs at: the wanted one, or its own where it is tied to that."""
    try:
        return at_batch(network, wanted).batch or 1
    except ShapeError:
        return network.batch or 1


def _fixed_by(network: Network, larger: dict[BlobId, Shape]) -> str:
    """Return why a network runs at its own batch size only, or nothing; fill in the shapes at one sample more."""
    if network.batch is None:
        return "it has no input with a batch axis"
    if len(network.batch_inputs) < len(network.inputs):
        return f"its inputs differ in axis 0: {', '.join(f'{n} {list(s)}' for n, s in network.inputs.items())}"
    shapes = {name: (network.batch + 1, *shape[1:]) for name, shape in network.inputs.items()}
    try:
        other = Network(network.prototxt, shapes)
    except NetworkError as error:
        return f"{error.where}: {error.message}" if error.where else error.message
    for node, at_more in zip(network.nodes, other.nodes, strict=True):
        larger.update(zip(node.tops, at_more.top_shapes, strict=True))
    for node, at_more in zip(network.nodes, other.nodes, strict=True):
        if node.blob_shapes != at_more.blob_shapes:
            return f"{node.layer.label}: its learned blobs span the batch axis"
        for shape, changed in zip(node.bottom_shapes, at_more.bottom_shapes, strict=True):
            if shape[1:] != changed[1:]:
                return f"{node.layer.label}: an axis of its bottom behind the first one follows the batch size"
    return ""


def _samples(network: Network, larger: dict[BlobId, Shape]) -> tuple[frozenset[BlobId], frozenset[BlobId]]:
    batch, of_batch = network.batch, set(network.batch_inputs)
    samples: set[BlobId] = set()
    constants: set[BlobId] = set()
    for node in network.nodes:
        if node.layer.is_input:
            for top in node.tops:
                (samples if top.name in of_batch else constants).add(top)
        elif constants.issuperset(node.bottoms):
            constants.update(node.tops)
        elif (samples | constants).issuperset(node.bottoms) and not node.layer.mixes_samples(node.bottom_shapes):
            for top, shape in zip(node.tops, node.top_shapes, strict=True):
                more = larger.get(top)
                if shape[:1] == (batch,) and (more is None or more[:1] == (shape[0] + 1,)):
                    samples.add(top)
    return frozenset(samples), frozenset(constants)
