"""As few layers in float32 as an allowed drop in accuracy asks for.

Layers are ranked by the noise that 8 bits give each by itself; the shortest head of that ranking whose layers, kept in
float32, bring the drop below the limit is found by bisection. Noise is not what a network makes of it, so each layer of
the head is then quantised after all, the least noisy first: where the drop stays within the limit it remains quantised,
else the rise is what the layer costs. Bisection takes the drop to fall as a head grows, which noise of a few images can
break: the result is always one that was measured, never an inferred one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Drop = Callable[[tuple[str, ...]], float]
"""Quantises all layers but these and returns the drop in top-1 accuracy, in percentage points."""


@dataclass(frozen=True)
class KeptLayer:
    """A layer that stays in float32, and by how many points the drop rose when it was quantised as well."""

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
        How often the network was quantised and evaluated: at most ceil(log2(layers)) + k, k the length of the head.
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
    whole = drop(())
    evaluations = 1
    if whole <= max_drop:
        return MixedPrecision((), whole, whole, evaluations)
    head, fallen, next_shorter, made = _shortest_head(tuple(ranking), max_drop, drop, whole)
    evaluations += made
    if len(head) == len(ranking):
        return MixedPrecision(tuple(KeptLayer(layer, float("nan")) for layer in head), 0.0, whole, evaluations)
    staying, costs = list(head), {head[-1]: next_shorter - fallen}  # bisection has tried the head without its last
    for layer in reversed(head[:-1]):
        without = tuple(other for other in staying if other != layer)
        found = drop(without)
        evaluations += 1
        if found <= max_drop:
            staying, fallen = list(without), found
        else:
            costs[layer] = found - fallen
    kept = sorted((KeptLayer(layer, costs[layer]) for layer in staying), key=lambda k: -k.cost)
    return MixedPrecision(tuple(kept), fallen, whole, evaluations)


def _shortest_head(
    ranking: tuple[str, ...], max_drop: float, drop: Drop, whole: float
) -> tuple[tuple[str, ...], float, float, int]:
    """Return the shortest head of a ranking that bisection finds within the limit, its drop, that of the head with one
    layer less, and how many were tried.

    None kept is not within the limit, with the drop ``whole``; all kept is, with the drop 0.
    """
    low, high, fallen, above, made = 0, len(ranking), 0.0, whole, 0
    while high - low > 1:
        middle = (low + high) // 2
        found = drop(ranking[:middle])
        made += 1
        if found <= max_drop:
            high, fallen = middle, found
        else:
            low, above = middle, found
    return ranking[:high], fallen, above, made
