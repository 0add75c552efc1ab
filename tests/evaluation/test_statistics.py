"""Statistics against scipy and statsmodels, and intervals against the probability that they claim."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import DataError
from caffezoo.evaluation.calibration import calibration
from caffezoo.evaluation.metrics import wilson_interval
from caffezoo.evaluation.statistics import PairedDifference, holm, mcnemar_p, paired_difference, paired_interval

counts = st.integers(0, 400)


@given(counts, counts)
def test_mcnemar_is_scipys_and_statsmodels(first, second):
    stats = pytest.importorskip("scipy.stats")
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    ours = mcnemar_p(first, second)
    table = [[7, first], [second, 9]]
    assert ours == pytest.approx(tables.mcnemar(table, exact=True).pvalue, rel=1e-11, abs=1e-12)
    if first + second:
        assert ours == pytest.approx(stats.binomtest(first, first + second, 0.5).pvalue, rel=1e-11, abs=1e-12)


def test_mcnemar_holds_for_all_validation_images():
    assert mcnemar_p(0, 0) == 1
    assert mcnemar_p(20_000, 20_000) == 1
    assert mcnemar_p(10_000, 12_000) == mcnemar_p(12_000, 10_000) < 1e-40
    assert mcnemar_p(0, 50_000) == 0.0  # below the smallest float


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(p_values):
    tests = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(p_values) == pytest.approx(tests.multipletests(p_values, method="holm")[1], abs=1e-12)


@given(st.integers(1, 50_000), st.data())
def test_wilson_is_statsmodels(total, data):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    count = data.draw(st.integers(0, total))
    wanted = proportion.proportion_confint(count, total, method="wilson")
    assert wilson_interval(count, total) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("total", [200, 2000])
@pytest.mark.parametrize("error", [0.03, 0.25, 0.6])
def test_wilson_covers_what_it_claims(total, error):
    """The exact probability that the interval holds the truth, summed over all outcomes."""
    covered = 0.0
    for count in range(total + 1):
        low, high = wilson_interval(count, total)
        if low <= error <= high:
            covered += math.exp(
                math.lgamma(total + 1)
                - math.lgamma(count + 1)
                - math.lgamma(total - count + 1)
                + count * math.log(error)
                + (total - count) * math.log1p(-error)
            )
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize(("first", "second"), [(0.05, 0.05), (0.08, 0.02), (0.01, 0.002)])
@pytest.mark.parametrize("total", [200, 2000])
def test_the_paired_interval_covers_what_it_claims(first, second, total):
    rng = np.random.default_rng(4)
    drawn = rng.multinomial(total, [first, second, 1 - first - second], size=4000)
    held = 0
    for b, c, _ in drawn:
        low, high = paired_interval(int(b), int(c), total)
        held += low <= first - second <= high
    assert held / len(drawn) > 0.93
    if total * (first + second) > 10:  # with fewer pairs it errs on the safe side
        assert held / len(drawn) < 0.98


def test_a_pair_counts_what_only_one_has_wrong():
    first = [True, True, False, False, True]
    second = [False, True, True, False, False]
    found = paired_difference(first, second)
    assert found == PairedDifference(images=5, first_wrong=2, second_wrong=1, both_wrong=1)
    assert (found.first_percent, found.second_percent, found.difference_points) == (60, 40, -20)
    low, high = found.interval_points
    assert low < -20 < high
    assert found.p == 1
    assert paired_difference(second, first).interval_points == pytest.approx((-high, -low))
    with pytest.raises(DataError, match="0 and 0 images are no pairs"):
        paired_difference([], [])
    with pytest.raises(DataError, match="1 and 2 images"):
        paired_difference([True], [True, False])


def test_calibration_is_the_mean_gap_over_images():
    rng = np.random.default_rng(3)
    sure = rng.random(500)
    right = rng.random(500) < sure**2
    edges = np.linspace(0, 1, 16)
    place = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, 14)
    gaps = [abs(sure[place == b].mean() - right[place == b].mean()) * (place == b).sum() for b in set(place.tolist())]
    found = calibration(zip(sure.tolist(), right.tolist(), strict=True))
    assert found.expected_error == pytest.approx(sum(gaps) / 500, abs=1e-12)
    assert found.images == 500
    assert found.largest_error >= found.expected_error
    assert calibration([(1.0, True)]).expected_error == 0
    assert calibration([(0.0, False)]).bins[0].images == 1
    for wrong in ([], [(1.2, True)]):
        with pytest.raises(DataError):
            calibration(wrong)
