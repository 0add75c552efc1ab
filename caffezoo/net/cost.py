"""What a network costs: parameters, multiply-accumulates, activations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import PathLike

from caffezoo.net.batch import at_batch, possible_batch
from caffezoo.net.graph import Network, Node


@dataclass(frozen=True)
class Cost:
    """Cost of a layer or a network for one image.

    Attributes
    ----------
    parameters : int
        Learned values as publications count them: a BatchNorm has its mean and variance, its Scale the other two.
    blob_elements : int
        Values that a caffemodel stores, BatchNorm's factor included; four bytes each.
    macs : int
        Multiply-accumulates, defined in each layer class.
    activations : int
        Elements of the tops of all layers that own a convolution or product (``macs`` > 0).
    """

    parameters: int
    blob_elements: int
    macs: int
    activations: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.parameters + other.parameters,
            self.blob_elements + other.blob_elements,
            self.macs + other.macs,
            self.activations + other.activations,
        )

    @property
    def caffemodel_bytes(self) -> int:
        """Bytes of weights in a float32 caffemodel, without names and tags."""
        return 4 * self.blob_elements


def node_cost(node: Node) -> Cost:
    """Return the cost of one layer at its shapes."""
    macs = node.macs
    return Cost(
        node.parameter_count,
        sum(math.prod(s) for s in node.blob_shapes),
        macs,
        sum(math.prod(s) for s in node.top_shapes) if macs else 0,
    )


def network_cost(network: Network | str | PathLike[str]) -> Cost:
    """Return the cost of a network, or of a prototxt at its declared input size, for one image; for a batch where the
    network is tied to one (:mod:`caffezoo.net.batch`).
    """
    net = network if isinstance(network, Network) else Network.load(network)
    net = at_batch(net, possible_batch(net, 1))
    return sum((node_cost(node) for node in net.nodes), Cost(0, 0, 0, 0))
