"""What an engine runs of a network: folded where that changes no wanted blob, its weights rounded where asked."""

from __future__ import annotations

from collections.abc import Sequence

from caffezoo.engines.rounding import rounded_weights
from caffezoo.net.graph import Network

ARITHMETIC = ("float32", "float16", "bfloat16", "int8")
STORAGE = "float16-storage"
EVERYTHING = "float16-all"
PRECISIONS = (*ARITHMETIC, STORAGE, EVERYTHING)
"""``float16`` and ``bfloat16`` are what the runtime computes in. ``float16-storage``: weights are rounded to float16
once batch norm is folded, as files in half precision hold them, and everything is computed in float32. ``float16-all``:
parameters as the prototxt has them, batch norm unfolded, and the output of every layer are rounded to float16, as a
framework does whose default type was set to float16. ``int8``: products of 8-bit integers, with scales that were
calibrated before; see :mod:`caffezoo.engines.quantised`."""


def arithmetic_of(precision: str) -> str:
    """Return what a runtime is asked to compute in."""
    return precision if precision in ARITHMETIC else "float32"


def network_to_run(network: Network, outputs: Sequence[str], precision: str) -> Network:
    """Return the network that an engine lowers.

    Parameters
    ----------
    network : Network
        With weights, or without where only its shapes are wanted.
    outputs : sequence of str
        Blobs that are wanted; folding keeps the network's outputs, and may remove others.
    precision : str
        One of ``PRECISIONS``.
    """
    from caffezoo.net.folding import fold

    if not network.weights:
        return network
    if precision == EVERYTHING:
        layers = {node.key: node.layer for node in network.nodes}
        return network.with_weights({key: layers[key].unscaled(blobs) for key, blobs in network.weights.items()})
    if set(outputs) <= set(network.outputs):
        network = fold(network).network
    if precision == STORAGE:
        network = network.with_weights(rounded_weights(network.weights, "float16"))
    return network
