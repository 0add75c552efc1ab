"""As few layers in float32 as an allowed drop in accuracy asks for.

Layers are ranked by the noise that 8 bits give each by itself; the shortest head of that ranking whose layers, kept in
float32, bring the drop below the limit is found by bisection. That takes the drop to fall as the head grows, which
noise of a few images can break: the result is always one that was measured, not one that was inferred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Drop = Callable[[tuple[str, ...]], float]
"""Quantises all layers but these and returns the drop in top-1 accuracy, in percentage points."""


@dataclass(frozen=True)
class KeptLayer:
    """A layer that stays in float32, and what the drop would rise by, in points, were it quantised as well."""

    layer: str
    cost: float


@dataclass(frozen=True)
class MixedPrecision:
    """What was found.

    Attributes
    ----------
    kept : tuple of KeptLayer
        Empty where quantising everything is within the limit.
    drop : float
        In top-1 accuracy, percentage points, with these layers kept.
    drop_of_all : float
        With every layer quantised.
    evaluations : int
        How often the network was quantised and evaluated: at most 1 + ceil(log2(layers + 1)) + len(kept).
    """

    kept: tuple[KeptLayer, ...]
    drop: float
    drop_of_all: float
    evaluations: int


def keep_layers(ranking: Sequence[str], max_drop: float, drop: Drop) -> MixedPrecision:
    """Find the layers to keep.

    Parameters
    ----------
    ranking : sequence of str
        Layers, the noisiest first.
    max_drop : float
        Percentage points of top-1 accuracy.
    drop : callable
        See ``Drop``; it is not called for all layers kept, where nothing is quantised and nothing drops.

    Returns
    -------
    MixedPrecision
    """
    found: dict[int, float] = {0: drop(()), len(ranking): 0.0}
    evaluations = 1
    low, high = 0, len(ranking)  # the drop of `high` is within the limit
    if found[0] <= max_drop:
        high = 0
    while high - low > 1:
        middle = (low + high) // 2
        found[middle] = drop(tuple(ranking[:middle]))
        evaluations += 1
        low, high = (low, middle) if found[middle] <= max_drop else (middle, high)
    head = tuple(ranking[:high])
    kept = []
    for layer in head if high < len(ranking) else ():
        without = tuple(other for other in head if other != layer)
        kept.append(KeptLayer(layer, (drop(without) if without else found[0]) - found[high]))
        evaluations += bool(without)
    if high == len(ranking):
        kept = [KeptLayer(layer, float("nan")) for layer in head]
    return MixedPrecision(tuple(kept), found[high], found[0], evaluations)
