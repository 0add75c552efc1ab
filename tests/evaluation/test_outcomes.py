"""What becomes of one image: ranks by several answer keys, the guess, the most probable classes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.evaluation.metrics import guess_of, true_rank
from caffezoo.evaluation.outcomes import LabelSet, Outcome, judge


def test_ranks_are_those_of_caffes_accuracy():
    scores = np.array([0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    found = [judge(scores, label, [(label,)]) for label in (0, 1, 2, 5)]
    assert [(one.ranks, one.guess) for one in found] == [((0,), 0), ((1,), 0), ((2,), 0), ((5,), 0)]
    assert (found[0].top, found[0].probabilities) == ((0, 1, 2, 3, 4), (0.3, 0.25, 0.2, 0.1, 0.1))
    same = judge(np.full(6, 1 / 6), 0, [(0,)])  # the same score everywhere is wrong everywhere
    assert (same.ranks, same.guess) == ((5,), 1)
    assert judge(np.array([0.1, 0.9]), 0, [(0,)]).top == (1, 0)


@given(st.integers(2, 400), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_the_best_are_those_of_a_stable_sort(classes, levels, seed):
    """Also where scores are equal, and where only some are sorted at all."""
    scores = np.random.default_rng(seed).integers(0, levels, classes) / 8
    found = judge(scores, 0, [(0,)])
    best = np.argsort(-scores, kind="stable")[:5]
    assert (found.top, found.probabilities) == (tuple(best), tuple(scores[best]))
    assert found.guess == guess_of(scores, 0, true_rank(scores, 0))


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.data())
def test_of_several_labels_the_best_placed_counts(values, data):
    labels = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=4))
    scores = np.array(values, float)
    found = judge(scores, labels[0], [tuple(labels), ()])
    best = max(values[label] for label in labels)
    assert found.ranks == (sum(v >= best for k, v in enumerate(values) if k not in labels), None)


@given(st.lists(st.integers(0, 9), min_size=6, max_size=12, unique=False), st.data())
def test_a_subset_is_a_network_of_those_classes_alone(values, data):
    subset = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=2, max_size=5, unique=True))
    scores = np.array(values, float) / 10
    label = subset[0]
    found = judge(scores, label, [(label,)], subset=subset)
    alone = judge(scores[sorted(subset)], sorted(subset).index(label), [(sorted(subset).index(label),)])
    assert (found.ranks, found.guess) == (alone.ranks, sorted(subset)[alone.guess])
    assert found.top[: len(subset)] == tuple(sorted(subset)[k] for k in alone.top)


def test_json_there_and_back():
    for outcome in (Outcome((3, None), 7, (7, 1), (0.5, 0.25)), Outcome(reason="no such image")):
        assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    for bad in ([3], [], [1, 2], [["x"], 1, [], []]):
        with pytest.raises((ValueError, TypeError)):
            Outcome.from_json(bad)
    assert LabelSet("real", ((1,), (), (2, 3))).images == 2
