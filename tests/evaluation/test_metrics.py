"""Error rates, their intervals, ranks and ties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError
from caffezoo.evaluation.metrics import Z_95, ErrorRate, guess_of, true_rank, wilson_interval


@given(st.integers(1, 50000), st.data())
def test_wilson_ends_solve_the_score_equation(total, data):
    """The interval's ends are the p with |count/total - p| = z sqrt(p (1 - p) / total)."""
    count = data.draw(st.integers(0, total))
    low, high = wilson_interval(count, total)
    assert 0 <= low <= count / total <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert abs(count / total - end) == pytest.approx(Z_95 * math.sqrt(end * (1 - end) / total), rel=1e-6)
    mirrored_low, mirrored_high = wilson_interval(total - count, total)
    assert (mirrored_low, mirrored_high) == (pytest.approx(1 - high), pytest.approx(1 - low))


def test_wilson_known_values():
    assert wilson_interval(0, 10) == (0, pytest.approx(0.27753, abs=1e-5))
    assert wilson_interval(2, 20) == (pytest.approx(0.02787, abs=1e-5), pytest.approx(0.30103, abs=1e-5))


def test_error_rate_is_in_percent():
    rate = ErrorRate(2, 20)
    assert rate.percent == 10
    assert rate.interval_percent == (pytest.approx(2.787, abs=1e-3), pytest.approx(30.103, abs=1e-3))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.data())
def test_rank_counts_ties_against(scores, data):
    label = data.draw(st.integers(0, len(scores) - 1))
    better = sum(s >= scores[label] for i, s in enumerate(scores) if i != label)
    assert true_rank(np.array(scores, float), label) == better


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_name_the_image(bad):
    with pytest.raises(EngineError, match=r"dog.jpg: the network's scores are not finite \(1 of 3\)"):
        true_rank(np.array([0.5, bad, 0.1]), 0, where="dog.jpg")


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.data())
def test_the_guess_is_right_exactly_where_the_rank_is(values, data):
    scores = np.array(values, np.float32)
    label = data.draw(st.integers(0, len(values) - 1))
    rank = true_rank(scores, label)
    guess = guess_of(scores, label, rank)
    assert (guess == label) == (rank == 0)
    assert guess == label or values[guess] == max(v for i, v in enumerate(values) if i != label)
    assert scores.tolist() == values
