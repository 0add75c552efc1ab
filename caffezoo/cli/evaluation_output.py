"""What ``caffezoo evaluate`` prints and records: one result in words, several as a table, and how far it is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from caffezoo.cli.command import given_command
from caffezoo.cli.console import say, shown
from caffezoo.cli.network_arguments import short_note

if TYPE_CHECKING:
    from caffezoo.evaluation.metrics import ErrorRate
    from caffezoo.evaluation.result import EvaluationResult, Progress
    from caffezoo.evaluation.runs.folder import Run
    from caffezoo.evaluation.runs.scoring import Subject
    from caffezoo.report.store import Store

SHOWN_UNREADABLE = 20


def print_results(results: Sequence[EvaluationResult]) -> None:
    """Print one result in full, several as a table."""
    if len(results) == 1:
        _print_one(results[0])
        return
    from caffezoo.cli.text_table import print_table

    several_sets = any(len(result.rates) > 1 for result in results)
    titles = ["network", "protocol", *(["labels"] if several_sets else []), "top-1", "at 95 %", "top-5", "images"]
    rows = []
    for result in results:
        for rates in result.rates:
            low, high = rates.top1.interval_percent
            rows.append(
                [
                    result.network,
                    result.protocol.name,
                    *([rates.name] if several_sets else []),
                    f"{rates.top1.percent:.2f}",
                    f"[{low:.2f}, {high:.2f}]",
                    f"{rates.top5.percent:.2f}" if rates.top5 else "-",
                    str(rates.top1.images),
                ]
            )
    first = results[0]
    print(f"errors in percent, {_ran_on(first)}")
    print_table(titles, rows, right=("top-1", "top-5", "images"))


def _ran_on(result: EvaluationResult) -> str:
    versions = f"{result.engine} {result.versions[result.engine]}"
    streams = f"{result.streams} streams, " if result.streams > 1 else ""
    threads = f", {streams}{_threads(result.threads)}" if result.threads else ""
    decoding = f", decoding in {_threads(result.workers)}" if result.workers is not None else ""
    return f"{versions}, {result.device}, {result.precision}{threads}, batch {result.batch_size}{decoding}"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _print_one(result: EvaluationResult) -> None:
    p = result.protocol
    sides = "short side" if p.resize == "short" else "both sides"
    base = " + ".join(map(str, p.bases)) if p.scales else str(p.base_size)
    order = "grey" if p.channel_order == "grey" else "B, G, R"
    of_each = " for each pixel, on average" if p.mean_image is not None else ""
    skipped = f", {len(result.unreadable)} unreadable" if result.unreadable else ""
    seen = "the whole image" if p.resize == "squash" else "the centre"
    crops = (
        f"fully convolutional, {seen}" if p.fully_convolutional else "1 crop" if p.views == 1 else f"{p.views} crops"
    )
    print(f"network      {shown(result.network)}, {result.classes} classes, scores from '{shown(result.output)}'")
    print(f"data         {shown(result.data)}: {result.images} images{skipped}, labels from {shown(result.label_list)}")
    print(f"protocol     {crops} of {p.crop_size} px, {sides} {base} px, {p.decoder}, {p.resizer}")
    print(f"             mean {_levels(p.mean)}{of_each}, std {_levels(p.std)} ({order})")
    print(f"ran on       {_ran_on(result)}")
    print(f"speed        {result.images_per_second:.1f} images/s ({result.seconds:.1f} s)")
    for rates in result.rates:
        by = "" if len(result.rates) == 1 else f" by {shown(rates.name)}"
        _print_rate(f"top-1 error{by}", rates.top1)
        if rates.top5 is not None:
            _print_rate(f"top-5 error{by}", rates.top5)
    if result.calibration is not None:
        print(f"calibration  expected error {100 * result.calibration.expected_error:.2f} points")


def _print_rate(name: str, rate: ErrorRate) -> None:
    low, high = rate.interval_percent
    print(f"{name}  {rate.percent:.2f} %  [{low:.2f}, {high:.2f}] at 95 %  ({rate.errors} of {rate.images})")


def _levels(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:g}" for v in values)


def report_unreadable(result: EvaluationResult) -> None:
    """Say which images could not be read."""
    for path, reason in result.unreadable[:SHOWN_UNREADABLE]:
        say("warning", f"{path}: {reason}")
    if result.unreadable:
        more = len(result.unreadable) - SHOWN_UNREADABLE
        rest = f" ({more} more than shown)" if more > 0 else ""
        count = f"{len(result.unreadable)} of {result.total}"
        say("warning", f"{count} images are unreadable and not in the error rates{rest}")


def running(progress: Progress, start: float) -> str:
    """Return how fast an evaluation is, and its errors until now."""
    parts = [f"{(progress.done - progress.resumed) / (time.perf_counter() - start):.1f} images/s"]
    if progress.top1 is not None:
        parts.append(f"top-1 error {progress.top1.percent:.2f}")
    if progress.top5 is not None:
        parts.append(f"top-5 error {progress.top5.percent:.2f}")
    if progress.unreadable:
        parts.append(f"{progress.unreadable} unreadable")
    return "  ".join(parts)


def finish(
    found: Sequence[EvaluationResult],
    runs: Sequence[Run],
    subjects: Sequence[Subject],
    *,
    kept: bool,
    as_json: bool,
    store: Store | None,
) -> None:
    """Print results, record them, and exit 130 where they are of an interrupted run."""
    from caffezoo.report.provenance import provenance
    from caffezoo.report.records import parse_records

    report_unreadable(found[0])
    lines = []
    for result, subject in zip(found, subjects, strict=True):
        for warning in result.warnings:
            if warning not in subject.classifier.warnings:  # those were told before the first image
                say("warning", warning if len(found) == 1 else f"{result.network}: {warning}")
        recipe = subject.classifier.recipe
        note = short_note(subject.classifier.network_notes, recipe.prototxt, recipe.weights)
        lines.append(json.dumps({**result.to_json(), "note": note, **provenance(given_command())}))
    if as_json:
        print("\n".join(lines))
    else:
        print_results(found)
    if not found[0].interrupted:
        for one in runs if not kept else ():
            one.remove()
        for line, result in zip(lines if store is not None else (), found, strict=False):
            assert store is not None
            rows = parse_records(line, f"network '{result.network}'")
            store.append(rows)
            print(f"caffezoo: {store.path(type(rows[0]))}: added run {rows[0].run}", file=sys.stderr)
        return
    result = found[0]
    nothing = "; nothing is recorded of it" if store is not None else ""
    again = "; the same command goes on from here" if any(one.path for one in runs) else ""
    done = f"{result.images + len(result.unreadable)} of {result.total} images"
    print(f"caffezoo: interrupted after {done}{nothing}{again}", file=sys.stderr)
    raise typer.Exit(130)


def say_resumed(runs: Sequence[Run]) -> None:
    """Say what an earlier run did."""
    done, images = sum(one.done_images for one in runs), sum(one.images for one in runs)
    if done:
        print(f"caffezoo: going on after {done} of {images} images (--no-resume starts anew)", file=sys.stderr)
    damaged = sum(one.damaged for one in runs)
    if damaged:
        say("warning", f"{damaged} shards of the run are damaged, and done again")
