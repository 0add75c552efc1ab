"""As few layers in float32 as an allowed drop in accuracy asks for.

Layers are ranked by the noise that 8 bits give each by itself; the shortest head of that ranking whose layers, kept in
float32, bring the drop below the limit is found by bisection. Then each layer of the head is quantised alone, which
shows what it costs, and the shortest head of these costs is found in the same way. That takes the drop to fall as a
head grows, which noise of a few images can break: the result is always one that was measured, never an inferred one.
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
        How often the network was quantised and evaluated: at most 1 + ceil(log2(layers + 1)), one for each layer of
        the head, and ceil(log2) of the head's length.
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
    head, fallen, made = _shortest_head(tuple(ranking), max_drop, drop)
    evaluations += made
    if len(head) == len(ranking):
        return MixedPrecision(tuple(KeptLayer(layer, float("nan")) for layer in head), 0.0, whole, evaluations)
    kept = []
    for layer in head:
        without = tuple(other for other in head if other != layer)
        kept.append(KeptLayer(layer, (drop(without) if without else whole) - fallen))
        evaluations += bool(without)
    # What costs most goes first now: the noise of a layer is not what the network makes of it.
    dearest = sorted(kept, key=lambda k: -k.cost)
    fewer, less, made = _shortest_head(tuple(k.layer for k in dearest), max_drop, drop, last=fallen)
    evaluations += made
    return MixedPrecision(tuple(dearest[: len(fewer)]), less, whole, evaluations)


def _shortest_head(
    ranking: tuple[str, ...], max_drop: float, drop: Drop, last: float = 0.0
) -> tuple[tuple[str, ...], float, int]:
    """Return the shortest head of a ranking that bisection finds within the limit, its drop, and how many were tried.

    None kept is not within the limit, all kept is, with the drop ``last``.
    """
    low, high, fallen, made = 0, len(ranking), last, 0
    while high - low > 1:
        middle = (low + high) // 2
        found = drop(ranking[:middle])
        made += 1
        if found <= max_drop:
            high, fallen = middle, found
        else:
            low = middle
    return ranking[:high], fallen, made
