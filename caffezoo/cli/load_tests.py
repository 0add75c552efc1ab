"""``caffezoo time --loadgen``: MLPerf's load generator, scenario by scenario."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from caffezoo.cli.command import given_command
from caffezoo.cli.console import say
from caffezoo.cli.engine_choice import chosen_engine
from caffezoo.cli.progress import progress
from caffezoo.errors import UnknownNameError, UsageError, ZooError

if TYPE_CHECKING:
    from caffezoo.timing.loadgen import LoadTest
    from caffezoo.timing.networks import Job
    from caffezoo.timing.subjects import Settings


def run_load_tests(
    jobs: Sequence[Job],
    settings: Sequence[Settings],
    folder: Path,
    scenario: str | None,
    min_duration_s: float | None,
    min_queries: int | None,
    *,
    as_json: bool,
) -> None:
    """Run every scenario of every job in every engine, print what LoadGen says, and exit 1 if any is not valid.

    Raises
    ------
    UsageError
        A scenario or a limit that cannot be.
    ZooError
        Of the only run that was asked for; of several, each is told and the others go on.
    """
    from dataclasses import replace

    from caffezoo.timing.loadgen import MIN_DURATION_S, MIN_QUERIES, SCENARIOS, check_installed, run_load_test

    names = list(dict.fromkeys((scenario or ",".join(SCENARIOS)).split(",")))
    for name in names:
        if name not in SCENARIOS:
            raise UnknownNameError("scenario", name, SCENARIOS)
    if min_duration_s is not None and not 0 < min_duration_s < float("inf"):
        raise UsageError("--min-duration is seconds above 0")
    if min_queries is not None and not 0 < min_queries < 2**31:
        raise UsageError("--min-queries is a number above 0")
    check_installed()
    limits: dict[str, Any] = {"min_duration_s": min_duration_s or MIN_DURATION_S}
    limits["min_queries"] = min_queries or MIN_QUERIES
    # SingleStream is one image a query: of several batch sizes it is measured once, and only where one is 1.
    runs = [
        (job, s, name) for job in jobs for s in settings for name in names if name == "offline" or job.batch_size == 1
    ]
    if not runs:
        raise UsageError("SingleStream is one image a query", hint="--batch 1, or --scenario offline")
    found: list[tuple[Job, LoadTest]] = []
    failed = False
    with progress(len(runs), every_item=True) as show:
        for number, (job, s, name) in enumerate(runs):
            show(number, f"{job.network}, {s.engine}, {name}")
            try:
                s = replace(s, engine=chosen_engine(s.engine, [job], s.precision, s.threads), backward=False)
                test = run_load_test(job, s, name, folder, **limits)
            except ZooError as error:
                if len(runs) == 1:
                    raise
                say("warning", f"{job.network}, {s.engine}, {name}: {error}")
                failed = True
                continue
            found.append((job, test))
            if as_json:
                print(json.dumps(_record(job, test)), flush=True)
            if not test.valid:
                say("warning", f"{job.network}, {s.engine}, {name}: not valid: {'; '.join(test.reasons)}")
    if not as_json and found:
        _print(found)
    if failed or not all(test.valid for _, test in found):
        raise typer.Exit(1)


def _record(job: Job, test: LoadTest) -> dict[str, Any]:
    from caffezoo.report.provenance import provenance

    values = {**asdict(test), "reasons": list(test.reasons), "folder": str(test.folder)}
    return {"network": job.network, "batch_size": job.batch_size, **values, **provenance(given_command())}


def _print(found: Sequence[tuple[Job, LoadTest]]) -> None:
    from caffezoo.cli.text_table import print_table

    numbers = ("batch", "p90 ms", "median ms", "images/s", "queries")
    rows = [
        (
            job.network,
            f"{test.engine} {test.precision}",
            test.scenario,
            str(job.batch_size),
            ".." if test.p90_ms is None else f"{test.p90_ms:.2f}",
            ".." if test.median_ms is None else f"{test.median_ms:.2f}",
            f"{test.samples_per_second:.1f}",
            str(test.queries),
            "VALID" if test.valid else "INVALID",
            str(test.folder),
        )
        for job, test in found
    ]
    print_table(("network", "engine", "scenario", *numbers, "LoadGen says", "logs"), rows, right=numbers)
