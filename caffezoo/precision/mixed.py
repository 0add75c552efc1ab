"""As few layers in float32 as an allowed drop in accuracy asks for.

Layers are ranked by the noise that 8 bits give each by itself; the shortest head of that ranking whose layers, kept
in float32, bring the drop below the limit is found by bisection. Noise is not what a network makes of it, so the head
holds layers that cost nothing. Where its last layer costs more than the others on average, the ranking has misled:
whatever of the head the limit needs besides is then found by bisection again, the last layer that is needed first,
until those found suffice. Else each layer is quantised after all, the least noisy first: where the drop stays within
the limit it remains quantised, else the rise is what the layer costs. Bisection takes the drop to fall as a head
grows, which noise of a few images can break: the result is always one that was measured, never an inferred one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

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
        Where the ranking misleads, about ceil(log2(layers)) + 1 for each layer kept, and never more than 3 k besides.
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
    head, fallen, above, made = _shortest_head(tuple(ranking), max_drop, drop, (whole, 0.0))
    evaluations += made
    needed, costs, rest = head[-1:], {head[-1]: above - fallen}, head[:-1]  # bisection has tried the head without it
    if (above - fallen) * len(rest) > whole - above:
        spent = 0
        while rest and spent < 2 * len(head):
            alone = drop(needed)
            spent += 1
            if alone <= max_drop:
                rest, fallen = (), alone
                break
            beside = partial(_with, drop, needed)
            part, fallen, above, made = _shortest_head(rest, max_drop, beside, (alone, fallen))
            spent += made
            needed, rest = part[-1:] + needed, part[:-1]
            costs[part[-1]] = above - fallen
        evaluations += spent
    if len(rest) + len(needed) == len(ranking) and len(rest) > len(needed):  # whatever was tried is needed: give up
        return MixedPrecision(tuple(KeptLayer(layer, float("nan")) for layer in ranking), 0.0, whole, evaluations)
    for layer in reversed(rest):
        rest = tuple(other for other in rest if other != layer)
        found = drop(rest + needed)
        evaluations += 1
        if found <= max_drop:
            fallen = found
        else:
            needed = (layer, *needed)
            costs[layer] = found - fallen
    if len(needed) == len(ranking):  # then nothing is quantised
        fallen = 0.0
    layers = sorted((KeptLayer(layer, costs[layer]) for layer in needed), key=lambda k: -k.cost)
    return MixedPrecision(tuple(layers), fallen, whole, evaluations)


def _with(drop: Drop, needed: tuple[str, ...], keep: tuple[str, ...]) -> float:
    return drop(keep + needed)


def _shortest_head(
    ranking: tuple[str, ...], max_drop: float, drop: Drop, ends: tuple[float, float]
) -> tuple[tuple[str, ...], float, float, int]:
    """Return the shortest head of a ranking that bisection finds within the limit, its drop, that of the head with one
    layer less, and how many were tried.

    ``ends``: the drops with none kept, which is not within the limit, and with all kept, which is.
    """
    low, high, made = 0, len(ranking), 0
    above, fallen = ends
    while high - low > 1:
        middle = (low + high) // 2
        found = drop(ranking[:middle])
        made += 1
        if found <= max_drop:
            high, fallen = middle, found
        else:
            low, above = middle, found
    return ranking[:high], fallen, above, made
