"""MLPerf's own load generator around an engine (extra ``loadgen``): SingleStream and Offline.

LoadGen issues the queries, takes the times, judges whether the run is valid, and writes its logs. A query is the same
drawn input every time; what takes it is exactly what ``caffezoo time`` repeats. The test runs in a process of its own:
LoadGen cannot be interrupted from Python.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffezoo.errors import EngineError, EngineUnavailableError, UnknownNameError, UsageError, ZooError
from caffezoo.timing.child import in_child
from caffezoo.timing.clock import warm_up
from caffezoo.timing.networks import Job
from caffezoo.timing.subjects import Settings, Subject, open_subject

SCENARIOS = {"single-stream": "SingleStream", "offline": "Offline"}
"""By our name, LoadGen's."""
MIN_DURATION_S, MIN_QUERIES = 10.0, 100
"""LoadGen's own defaults. MLPerf's rules for submissions ask for 600 s, and 1024 queries or 24576 samples."""
SUMMARY = "mlperf_log_summary.txt"
WARM_UP_S = 2.0
SLACK = 0.5
"""LoadGen plans queries from an expected time: with less than was measured it has enough of them to last."""
MOST_QUERIES = 4_000_000
"""LoadGen plans all queries before the first, in some 650 bytes each."""
SAMPLES = 1024
"""Of the library that LoadGen draws from; all are the same input."""
MESSAGE = "MLPerf's load generator is not installed"
HINT = "pip install 'caffezoo[loadgen]' (package mlcommons-loadgen)"


@dataclass(frozen=True)
class LoadTest:
    """What LoadGen says of one run.

    Attributes
    ----------
    scenario : str
        Of ``SCENARIOS``.
    valid : bool
        LoadGen's verdict.
    reasons : tuple of str
        What it says beside an invalid result.
    p90_ms, median_ms : float or None
        Of single queries; None in Offline, where all samples come at once.
    samples_per_second : float
    queries : int
        Samples that were run.
    folder : Path
        Its logs.
    engine, version, device, precision : str
    threads : int
    """

    scenario: str
    valid: bool
    reasons: tuple[str, ...]
    p90_ms: float | None
    median_ms: float | None
    samples_per_second: float
    queries: int
    folder: Path
    engine: str
    version: str
    device: str
    precision: str
    threads: int


def check_installed() -> None:
    """Raise where the load generator is not here.

    Raises
    ------
    EngineUnavailableError
        Names the extra.
    """
    from importlib.util import find_spec

    if find_spec("mlperf_loadgen") is None:
        raise EngineUnavailableError(MESSAGE, hint=HINT)


def run_load_test(
    job: Job,
    settings: Settings,
    scenario: str,
    folder: Path,
    *,
    min_duration_s: float = MIN_DURATION_S,
    min_queries: int = MIN_QUERIES,
) -> LoadTest:
    """Let LoadGen measure one network in one engine.

    Parameters
    ----------
    job : Job
        Its batch is how many samples an Offline run takes at a time; SingleStream has a batch of 1.
    settings : Settings
    scenario : str
        Of ``SCENARIOS``.
    folder : Path
        Where a folder for this run's logs is made.
    min_duration_s : float
    min_queries : int
        How many queries of SingleStream, and samples of Offline, at least.

    Raises
    ------
    UnknownNameError, UsageError
        No such scenario; a batch in SingleStream; the logs of such a run are there already.
    EngineUnavailableError
        LoadGen, or the engine, is not here.
    ZooError
        The network does not run.
    """
    if scenario not in SCENARIOS:
        raise UnknownNameError("scenario", scenario, SCENARIOS)
    check_installed()
    if scenario == "single-stream" and job.batch_size != 1:
        raise UsageError("SingleStream is one image a query", hint="--batch 1, or --scenario offline")
    name = f"{job.network}-{settings.engine}-{settings.precision}-batch{job.batch_size}-{scenario}"
    logs = folder / re.sub(r"[^\w.-]", "_", name)
    if folder.exists() and not folder.is_dir():
        raise UsageError("is no folder for logs", where=str(folder))
    if logs.exists():
        raise UsageError("logs of such a run are there already", where=str(logs), hint="name another folder")
    try:
        logs.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", where=str(logs)) from None
    try:
        facts: dict[str, Any] = in_child(
            _run, job, settings, scenario, logs, min_duration_s, min_queries, name=f"engine {settings.engine}"
        )
    except BaseException:
        if not any(logs.iterdir()):
            logs.rmdir()
        raise
    return LoadTest(scenario=scenario, folder=logs, engine=settings.engine, **read_summary(logs / SUMMARY), **facts)


def read_summary(file: Path) -> dict[str, Any]:
    """Return what LoadGen's summary says: verdict, reasons, percentiles, throughput.

    Raises
    ------
    EngineError
        There is no summary, or none with a verdict: the disk is full, or LoadGen another.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise EngineError(f"LoadGen left no summary: {error.strerror}", where=str(file)) from None

    def number(pattern: str) -> float | None:
        found = re.search(rf"^{pattern}\s*:\s*([\d.e+]+)\s*$", text, re.MULTILINE)
        return float(found[1]) if found else None

    verdict = re.search(r"^Result is\s*:\s*(VALID|INVALID)\s*$", text, re.MULTILINE)
    single = number(r"90\.0+(?:th)? percentile latency \(ns\)") or number(r"90\.00 percentile latency \(ns\)")
    rate = number(r"Samples per second") or number(r"QPS w/o loadgen overhead")
    if verdict is None or rate is None:
        raise EngineError("LoadGen's summary has no verdict or no figure", where=str(file))
    offline = number(r"Samples per second") is not None
    median = number(r"50\.00 percentile latency \(ns\)")
    said = text[verdict.end() :].partition("====")[0].splitlines()
    reasons = [" ".join(line.split()).removeprefix("* ") for line in said]
    reasons = [line for line in reasons if line and not line.endswith((":", ": Yes"))]
    valid = verdict[1] == "VALID"
    return {
        "valid": valid,
        "reasons": () if valid else tuple(reasons),
        "p90_ms": None if offline or single is None else single / 1e6,
        "median_ms": None if offline or median is None else median / 1e6,
        "samples_per_second": rate,
    }


def _run(
    job: Job, settings: Settings, scenario: str, logs: Path, min_duration_s: float, min_queries: int
) -> dict[str, Any]:
    """Run LoadGen here, where nothing else runs; return what ran and how often."""
    network = job.load()
    with open_subject(network, settings) as subject:
        seconds: list[float] = []

        def once() -> float:
            seconds.append(_seconds(subject))
            return seconds[-1]

        warm_up(once, WARM_UP_S)
        system = _System(subject, job.batch_size if scenario == "offline" else 1)
        system.test(SCENARIOS[scenario], logs, min_duration_s, min_queries, min(seconds))
        facts = {name: getattr(subject, name) for name in ("version", "device", "precision", "threads")}
        return {**facts, "queries": system.samples}


def _seconds(subject: Subject) -> float:
    start = time.perf_counter()
    subject.whole()
    return time.perf_counter() - start


class _System:
    """A network as LoadGen's "system under test"."""

    def __init__(self, subject: Subject, batch: int) -> None:
        import mlperf_loadgen

        self._loadgen = mlperf_loadgen
        self._subject = subject
        self._batch = batch
        self._trouble: ZooError | None = None
        self.samples = 0

    def test(self, scenario: str, logs: Path, min_duration_s: float, min_queries: int, expected_s: float) -> None:
        """Run one test; LoadGen writes its logs.

        Raises
        ------
        UsageError
            More queries than memory is for.
        ZooError
            What the engine raised in a query.
        """
        planned = max(min_queries, min_duration_s * self._batch / (SLACK * expected_s))
        if planned > MOST_QUERIES:
            fits_s = 0.9 * MOST_QUERIES * min_duration_s / planned
            shorter = f"at {1e3 * expected_s:.3g} ms a call, --min-duration {fits_s:.3g}"
            raise UsageError(
                f"LoadGen would plan {planned:,.0f} queries before the first, more than {MOST_QUERIES:,}",
                hint=shorter if planned > min_queries else "lower --min-queries",
            )
        lg = self._loadgen
        settings = lg.TestSettings()
        settings.scenario = getattr(lg.TestScenario, scenario)
        settings.mode = lg.TestMode.PerformanceOnly
        settings.min_duration_ms = math.ceil(min_duration_s * 1e3)
        settings.min_query_count = min_queries
        settings.single_stream_expected_latency_ns = max(1, int(SLACK * expected_s * 1e9))
        rate = self._batch / expected_s
        settings.offline_expected_qps = max(rate, min_queries / min_duration_s)
        output = lg.LogOutputSettings()
        output.outdir = str(logs)
        output.copy_summary_to_stdout = False
        log = lg.LogSettings()
        log.log_output = output
        log.enable_trace = False
        system = lg.ConstructSUT(self._issue, lambda: None)
        library = lg.ConstructQSL(SAMPLES, SAMPLES, lambda _: None, lambda _: None)
        try:
            lg.StartTestWithLogSettings(system, library, settings, log)
        finally:
            lg.DestroyQSL(library)
            lg.DestroySUT(system)
        if self._trouble is not None:
            raise self._trouble

    def _issue(self, queries: Sequence[Any]) -> None:
        """Run queries a batch at a time, the last one filled up, and say of each when it was done."""
        lg = self._loadgen
        for start in range(0, len(queries), self._batch):
            some = queries[start : start + self._batch]
            if self._trouble is None:
                try:
                    self._subject.whole()
                except ZooError as error:  # an exception would end LoadGen's process; the rest is passed over
                    self._trouble = error
            self.samples += len(some)
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0) for query in some])
