"""A network's size and work by precision, layer by layer: parameters by bits, memory, multiply-accumulates.

A multiply-accumulate has the precision of the wider of its two factors; parameters that are not quantised, biases and
the values of batch norms among them, have 32 bits.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from caffezoo.net.graph import Network
from caffezoo.net.layer import Shape

REAL = 32


@dataclass(frozen=True)
class LayerBits:
    """One layer.

    Attributes
    ----------
    name, type : str
    input_bits : int
    top_shape : shape
        At the network's input, batch axis included.
    parameters, macs : dict of int to int
        By bits.
    """

    name: str
    type: str
    input_bits: int
    top_shape: Shape
    parameters: Mapping[int, int]
    macs: Mapping[int, int]

    @property
    def memory_bytes(self) -> float:
        """Of the parameters, packed."""
        return sum(bits * count for bits, count in self.parameters.items()) / 8


@dataclass(frozen=True)
class BitSummary:
    """All layers with parameters, and the sums."""

    layers: tuple[LayerBits, ...]

    @property
    def parameters(self) -> dict[int, int]:
        """By bits."""
        return _sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> dict[int, int]:
        """By bits, for one image."""
        return _sum(layer.macs for layer in self.layers)

    @property
    def memory_bytes(self) -> float:
        return math.fsum(layer.memory_bytes for layer in self.layers)

    @property
    def float_bytes(self) -> int:
        """The memory if all parameters were float32."""
        return 4 * sum(self.parameters.values())

    @property
    def compression(self) -> float:
        return self.float_bytes / self.memory_bytes


def bit_summary(network: Network, weight_bits: Mapping[str, int], input_bits: Mapping[str, int]) -> BitSummary:
    """Return the summary of a network.

    Parameters
    ----------
    network : Network
    weight_bits, input_bits : mapping of str to int
        By layer, where they are not 32. Bits of weights are those of the first blob.
    """
    found = []
    for node in network.nodes:
        if not node.blob_shapes:
            continue
        below = input_bits.get(node.name, REAL)
        bits = weight_bits.get(node.name, REAL)
        sizes = [math.prod(shape) for shape in node.blob_shapes]
        others = node.parameter_count - sizes[0]
        counted = Counter({bits: sizes[0]})
        if others:
            counted[REAL] += others
        batch = node.top_shapes[0][0]
        macs = {max(bits, below): node.macs // batch} if node.macs else {}
        found.append(LayerBits(node.name, node.layer.type, below, node.top_shapes[0], dict(counted), macs))
    return BitSummary(tuple(found))


def _sum(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    total: Counter[int] = Counter()
    for part in parts:
        total.update(part)
    return dict(sorted(total.items()))
