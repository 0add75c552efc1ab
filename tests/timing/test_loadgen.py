"""MLPerf's load generator around our engines: its verdict, its percentiles, its logs."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from caffezoo.errors import EngineError, EngineUnavailableError, UnknownNameError, UsageError
from caffezoo.timing.loadgen import SCENARIOS, SUMMARY, check_installed, read_summary, run_load_test
from caffezoo.timing.networks import Job
from caffezoo.timing.subjects import Settings
from tests.engines.networks import SMALL

SETTINGS = Settings("openvino", threads=1, backward=False)
SINGLE = """\
Scenario : SingleStream
90.0th percentile latency (ns) : 4223546
Result is : {verdict}
  Min duration satisfied : {duration}
  Min queries satisfied : Yes
  Early stopping satisfied: {early}
{more}
================================================
Additional Stats
================================================
QPS w/ loadgen overhead         : 289.51
QPS w/o loadgen overhead        : 291.19

50.00 percentile latency (ns)   : 2125609
90.00 percentile latency (ns)   : 4223546
"""
OFFLINE = """\
Scenario : Offline
Samples per second: 389.341
Result is : VALID
  Min duration satisfied : Yes

================================================
50.00 percentile latency (ns)   : 329028057
90.00 percentile latency (ns)   : 520972171
"""


requires_loadgen = pytest.mark.skipif(
    find_spec("mlperf_loadgen") is None, reason="no load generator: pip install 'caffezoo[loadgen]'"
)


def job(folder: Path, batch: int = 1) -> Job:
    file = folder / "small.prototxt"
    file.write_text(SMALL)
    return Job("small", file, None, batch)


def summary(folder: Path, text: str) -> Path:
    file = folder / SUMMARY
    file.write_text(text)
    return file


def test_a_summary_of_single_queries_has_its_percentiles(tmp_path: Path) -> None:
    text = SINGLE.format(verdict="VALID", duration="Yes", early="Yes", more="")
    assert read_summary(summary(tmp_path, text)) == {
        "valid": True,
        "reasons": (),
        "p90_ms": 4.223546,
        "median_ms": 2.125609,
        "samples_per_second": 291.19,
    }


def test_an_invalid_one_has_its_reasons(tmp_path: Path) -> None:
    more = "Recommendations:\n * Increase expected QPS so the loadgen pre-generates more.\nEarly Stopping Result:\n"
    text = SINGLE.format(verdict="INVALID", duration="NO", early="NO", more=more)
    found = read_summary(summary(tmp_path, text))
    assert not found["valid"]
    assert found["reasons"] == (
        "Min duration satisfied : NO",
        "Early stopping satisfied: NO",
        "Increase expected QPS so the loadgen pre-generates more.",
    )


def test_offline_has_a_rate_and_no_latency_of_single_queries(tmp_path: Path) -> None:
    found = read_summary(summary(tmp_path, OFFLINE))
    assert (found["samples_per_second"], found["p90_ms"], found["median_ms"]) == (389.341, None, None)


@pytest.mark.parametrize("text", ["", "Result is : VALID\n", SINGLE[:60]], ids=["empty", "no-figure", "cut"])
def test_a_summary_that_says_nothing_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(EngineError, match="no verdict or no figure"):
        read_summary(summary(tmp_path, text))
    with pytest.raises(EngineError, match="left no summary"):
        read_summary(tmp_path / "absent")


def test_without_it_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(EngineUnavailableError, match=r"caffezoo\[loadgen\]"):
        check_installed()
    with pytest.raises(EngineUnavailableError, match="load generator is not installed"):
        run_load_test(job(tmp_path), SETTINGS, "offline", tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_a_scenario_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean offline"):
        run_load_test(job(tmp_path), SETTINGS, "ofline", tmp_path)


@requires_loadgen
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_judges_and_keeps_its_logs(tmp_path: Path, scenario: str) -> None:
    batch = 1 if scenario == "single-stream" else 4
    limits: dict[str, Any] = {"min_duration_s": 0.2, "min_queries": 70}
    found = run_load_test(job(tmp_path, batch), SETTINGS, scenario, tmp_path / "logs", **limits)
    assert found.queries >= 70
    assert found.samples_per_second > 0
    assert (found.p90_ms is None) == (scenario == "offline")
    if found.p90_ms is not None and found.median_ms is not None:
        assert found.p90_ms >= found.median_ms > 0
    assert (found.folder / SUMMARY).is_file()
    assert (found.folder / "mlperf_log_detail.txt").is_file()
    assert (found.engine, found.precision, found.threads) == ("openvino", "float32", 1)
    with pytest.raises(UsageError, match="there already"):
        run_load_test(job(tmp_path, batch), SETTINGS, scenario, tmp_path / "logs")


@requires_loadgen
def test_too_few_queries_are_not_valid(tmp_path: Path) -> None:
    found = run_load_test(
        job(tmp_path), SETTINGS, "single-stream", tmp_path / "logs", min_duration_s=1e-3, min_queries=1
    )
    if found.queries < 64:  # what LoadGen needs to stop early
        assert not found.valid
        assert any("NO" in reason for reason in found.reasons)


@requires_loadgen
def test_a_batch_is_no_single_stream_and_a_failure_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one image a query"):
        run_load_test(job(tmp_path, 2), SETTINGS, "single-stream", tmp_path / "logs")
    with pytest.raises(UnknownNameError, match="did you mean openvino"):
        run_load_test(job(tmp_path), Settings("openvinno"), "offline", tmp_path / "logs")
    assert not any((tmp_path / "logs").glob("*"))


@requires_loadgen
@pytest.mark.slow
def test_its_median_is_that_of_caffezoo_time(tmp_path: Path) -> None:
    """Held where nothing else runs: measured before and after, because a machine's speed is no constant."""
    from caffezoo.timing.measurement import Measurement
    from caffezoo.timing.networks import zoo_jobs
    from caffezoo.timing.session import measure_job
    from caffezoo.zoo.index import load_index

    (work,) = zoo_jobs(load_index(), ["resnet18-priv"], ["small"], [1])

    def own_ms() -> float:
        (made,) = measure_job(work, [SETTINGS], budget_s=5.0, layers=False)
        assert isinstance(made, Measurement)
        assert made.forward is not None
        return made.forward.median_ms

    before = own_ms()
    found = run_load_test(work, SETTINGS, "single-stream", tmp_path, min_duration_s=10.0)
    after = own_ms()
    if abs(after / before - 1) > 0.03:
        pytest.skip(f"the machine is not at rest: {before:.2f} ms, then {after:.2f} ms")
    assert found.median_ms == pytest.approx((before + after) / 2, rel=0.03)


@requires_loadgen
@pytest.mark.parametrize(
    ("limits", "words"),
    [({"min_duration_s": 1e7}, "--min-duration"), ({"min_duration_s": 0.1, "min_queries": 10**9}, "--min-queries")],
    ids=["long", "many"],
)
def test_more_queries_than_memory_is_for(tmp_path: Path, limits: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match="would plan") as caught:
        run_load_test(job(tmp_path), SETTINGS, "offline", tmp_path / "logs", **limits)
    assert words in str(caught.value.hint)
    assert not any((tmp_path / "logs").iterdir())
