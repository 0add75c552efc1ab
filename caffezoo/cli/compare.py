"""``caffezoo compare``: runs on the same images, pair by pair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli.console import shown
from caffezoo.errors import UsageError


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Directories of `evaluate --run`.")],
    top: Annotated[int, typer.Option(metavar="1|5", help="Top-1 or top-5 errors.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say whether networks differ on the same images, and how sure that is.

    Of every pair: both errors, the difference with its 95 % interval, the exact p of McNemar's test, and that p
    corrected for the number of pairs (Holm). By every label set that all runs have.

    Examples:

    `caffezoo compare runs/lite0 runs/lite2`

    `caffezoo compare runs/all-networks --json`
    """
    from caffezoo.cli.text_table import print_table
    from caffezoo.evaluation.comparison import compare as compare_runs
    from caffezoo.evaluation.comparison import open_runs

    if top not in (1, 5):
        raise UsageError(f"top-{top} errors are not kept", hint="choose --top 1 or --top 5")
    opened = open_runs(runs)
    pairs, changes = compare_runs(opened, top=top)
    if as_json:
        print(
            json.dumps(
                {
                    "top": top,
                    "pairs": [pair.to_json() for pair in pairs],
                    "rank_changes": [{"run": change.run, "places": dict(change.places)} for change in changes],
                }
            )
        )
        return
    several = len({pair.label_set for pair in pairs}) > 1
    rows = []
    for pair in pairs:
        d = pair.difference
        low, high = d.interval_points
        rows.append(
            [
                shown(pair.first),
                shown(pair.second),
                *([pair.label_set] if several else []),
                f"{d.first_percent:.2f}",
                f"{d.second_percent:.2f}",
                f"{d.difference_points:+.2f}",
                f"[{low:+.2f}, {high:+.2f}]",
                f"{d.first_wrong} / {d.second_wrong}",
                f"{d.p:.3g}",
                f"{pair.corrected_p:.3g}",
            ]
        )
    titles = ["first", "second", *(["labels"] if several else []), "error 1", "error 2", "difference", "at 95 %"]
    titles += ["only 1 / 2 wrong", "p", "p (Holm)"]
    print(f"top-{top} errors in percent on {pairs[0].difference.images} images; second minus first in points")
    print_table(titles, rows, right=("error 1", "error 2", "difference", "p", "p (Holm)"))
    for change in changes:
        places = ", ".join(f"{place} by {name}" for name, place in change.places)
        print(f"place of {shown(change.run)}: {places}")
