"""The search for layers to keep, on drops that are known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.precision.mixed import keep_layers


@given(
    costs=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    limit=st.integers(0, 200),
)
def test_the_shortest_head_is_found_in_few_evaluations(costs: list[int], limit: int) -> None:
    """Drops add up and fall along the ranking: then bisection is exact."""
    costs = sorted(costs, reverse=True)
    cost = {f"layer{i}": c for i, c in enumerate(costs)}
    asked: list[tuple[str, ...]] = []

    def drop(keep: tuple[str, ...]) -> float:
        asked.append(keep)
        return float(sum(c for layer, c in cost.items() if layer not in keep))

    found = keep_layers(list(cost), limit, drop)
    shortest = next(k for k in range(len(costs) + 1) if sum(costs[k:]) <= limit)
    if shortest < len(costs) or len(costs) == 1:
        assert len(found.kept) == shortest
        assert found.drop == sum(costs[shortest:]) <= limit
    assert found.drop_of_all == sum(costs)
    assert found.evaluations == len(asked) == len(set(asked))
    assert found.evaluations <= max(1, math.ceil(math.log2(len(costs))) + len(found.kept))
    if 1 <= len(found.kept) < len(costs):
        assert {k.layer: k.cost for k in found.kept} == {f"layer{i}": costs[i] for i in range(shortest)}


@given(
    costs=st.lists(st.integers(-3, 40), min_size=1, max_size=40),
    limit=st.integers(0, 100),
)
def test_any_ranking_ends_in_a_drop_that_was_measured_in_few_evaluations(costs: list[int], limit: int) -> None:
    """Costs in any order, some of them gains: the least that is promised."""
    cost = {f"layer{i}": c for i, c in enumerate(costs)}
    measured: dict[frozenset[str], float] = {}

    def drop(keep: tuple[str, ...]) -> float:
        assert frozenset(keep) not in measured
        measured[frozenset(keep)] = float(sum(c for layer, c in cost.items() if layer not in keep))
        return measured[frozenset(keep)]

    found = keep_layers(list(cost), limit, drop)
    kept = frozenset(k.layer for k in found.kept)
    if len(kept) < len(costs):
        assert found.drop == measured[kept] <= limit
    heads = [len(keep) for keep in measured if keep == set(list(cost)[: len(keep)]) and measured[keep] <= limit]
    head = min(heads, default=len(costs))
    assert found.evaluations == len(measured) <= max(1, math.ceil(math.log2(len(costs)))) + 3 * max(head, 1)


@given(
    costs=st.lists(st.integers(1, 5), min_size=4, max_size=200),
    culprits=st.sets(st.integers(0, 199), min_size=1, max_size=3),
)
def test_a_few_culprits_anywhere_are_found_in_a_bisection_each(costs: list[int], culprits: set[int]) -> None:
    """Whatever the noise said: layers without which the limit is passed, and none besides."""
    culprits = {c % len(costs) for c in culprits}
    cost = {f"layer{i}": 2000 * (i in culprits) + c for i, c in enumerate(costs)}

    def drop(keep: tuple[str, ...]) -> float:
        return float(sum(c for layer, c in cost.items() if layer not in keep))

    found = keep_layers(list(cost), 1000, drop)
    assert {k.layer for k in found.kept} == {f"layer{i}" for i in culprits}
    assert all(k.cost == cost[k.layer] for k in found.kept)
    bisection = math.ceil(math.log2(len(costs)))
    assert found.evaluations <= (len(culprits) + 1) * (bisection + 1)


def test_a_ranking_that_misleads_is_mended_by_the_costs() -> None:
    """The noisiest layers cost nothing, the quietest all."""
    cost = {**{f"noisy{i}": 0.0 for i in range(20)}, "quiet": 5.0, "rest": 0.0}
    found = keep_layers(list(cost), 1.0, lambda keep: sum(c for layer, c in cost.items() if layer not in keep))
    assert [(k.layer, k.cost) for k in found.kept] == [("quiet", 5.0)]
    assert found.drop == 0
    assert found.evaluations == 1 + 5 + 1  # all, a bisection, and the last layer of its head alone


def test_nothing_is_kept_where_everything_is_within_the_limit() -> None:
    found = keep_layers(["a", "b"], 0.5, lambda keep: 0.5)
    assert (found.kept, found.drop, found.evaluations) == ((), 0.5, 1)


@pytest.mark.parametrize("layers", [1, 2, 7])
def test_what_cannot_be_helped_keeps_all(layers: int) -> None:
    found = keep_layers([str(i) for i in range(layers)], 0.1, lambda keep: 9.0)
    assert [k.layer for k in found.kept] == [str(i) for i in range(layers)]
    assert found.drop == 0
