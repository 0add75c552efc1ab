"""What float16 cannot hold of a network: values that overflow, flush to zero or cancel, by layer and channel.

A network can be stored in float16 as its prototxt has it, batch norm by batch norm, or with batch norm folded first. In
the first form a variance beyond 65504 becomes infinite, and its channel a constant without a NaN to show it; one below
2^-25 becomes 0. In the second no variance is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from caffezoo.engines.rounding import FLOAT16_FLUSH, FLOAT16_MAX, FLOAT16_TINY
from caffezoo.net.folding import fold
from caffezoo.net.graph import Network, Node

OVERFLOWS, FLUSHES, SUBNORMAL, CANCELS = "overflows", "flushes to 0", "loses bits", "cancels"
KINDS = (OVERFLOWS, FLUSHES, SUBNORMAL, CANCELS)
CANCELLING_RATIO = 20.0
"""Mean over standard deviation from which on rounding a value near the mean (2^-11 of it) is a hundredth of the
deviation that batch norm then brings to one."""
SHOWN_CHANNELS = 5
_ADDED = frozenset({"bias", "beta", "mean"})
_OVERFLOW = FLOAT16_MAX + 16  # half a unit in the last place above the largest value


@dataclass(frozen=True)
class Finding:
    """Values of one layer that float16 does not hold.

    Attributes
    ----------
    layer : str
        By its name in the prototxt.
    form : {"as published", "folded"}
    number : str
        ``weights``, ``bias``, ``mean``, ``variance``, ``gamma``, ``beta``, ``epsilon``.
    kind : str
        One of ``KINDS``.
    channels : tuple of int
        Output channels that have such a value.
    of : int
        Output channels of the layer.
    worst : float
        The value farthest off; for ``cancels`` the mean in standard deviations.
    """

    layer: str
    form: str
    number: str
    kind: str
    channels: tuple[int, ...]
    of: int
    worst: float

    def __str__(self) -> str:
        shown = ", ".join(str(c) for c in self.channels[:SHOWN_CHANNELS])
        more = ", ..." if len(self.channels) > SHOWN_CHANNELS else ""
        measure = f"{self.worst:.4g} standard deviations" if self.kind == CANCELS else f"{self.worst:.4g}"
        return (
            f"{self.layer}: {self.number} {self.kind} in {len(self.channels)} of {self.of} channels"
            f" ({shown}{more}): {measure}"
        )


def scan(network: Network) -> list[Finding]:
    """Return what float16 does not hold of a network with weights, as published and folded, in the network's order.

    Zeros that are zeros in float32 too do not count. Weights that lose bits or flush are counted only where a channel
    loses all of them: single small weights beside large ones change nothing. What is added (bias, beta, mean) is only
    looked at for overflow: where it is small, so is the loss. An epsilon counts only where it becomes 0.
    """
    return [*_form(network, "as published"), *_form(fold(network).network, "folded")]


def _form(network: Network, form: str) -> Iterator[Finding]:
    for node in network.nodes:
        blobs = network.weights.get(node.key, ())
        numbers = node.layer.numbers(blobs) if blobs else {}
        for name, values in numbers.items():
            rows = np.abs(values.reshape(len(values), -1)) if values.ndim else np.abs(values.reshape(1, 1))
            yield from _findings(node, form, name, rows)
        if "mean" in numbers and "variance" in numbers:
            yield from _cancelling(node, form, numbers)


def _findings(node: Node, form: str, name: str, rows: np.ndarray) -> Iterator[Finding]:
    """``rows``: magnitudes, [channels, values]."""
    largest = rows.max(axis=1, initial=0)
    for kind, hit, worst in (
        (OVERFLOWS, largest >= _OVERFLOW, np.max),
        (FLUSHES, (largest > 0) & (largest <= FLOAT16_FLUSH), np.min),
        (SUBNORMAL, (largest > FLOAT16_FLUSH) & (largest < FLOAT16_TINY), np.min),
    ):
        channels = np.flatnonzero(hit)
        harmless = (kind != OVERFLOWS and name in _ADDED) or (kind == SUBNORMAL and name == "epsilon")
        if channels.size and not harmless:
            found = tuple(int(c) for c in channels)
            yield Finding(node.name, form, name, kind, found, len(rows), float(worst(largest[channels])))


def _cancelling(node: Node, form: str, numbers: dict[str, np.ndarray]) -> Iterator[Finding]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(numbers["mean"]) / np.sqrt(np.maximum(numbers["variance"], 0) + numbers["epsilon"][0])
    channels = np.flatnonzero(ratio > CANCELLING_RATIO)
    if channels.size:
        found = tuple(int(c) for c in channels)
        yield Finding(node.name, form, "mean", CANCELS, found, len(ratio), float(ratio[channels].max()))
