"""``caffezoo runs``: what stands behind the error rates of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli.console import shown

runs = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Look into the directories of `evaluate --run`.

    Example:

    `caffezoo runs show runs/lite0 --worst 20`
    """,
)


@runs.callback()
def _runs() -> None:
    pass


@runs.command("show")
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A directory of `evaluate --run`.")],
    worst: Annotated[int, typer.Option(min=0, metavar="N", help="How many classes and pairs.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole summary as JSON.")] = False,
) -> None:
    """Show a finished run: rates by label set, the worst classes, the pairs most confused, how sure it was."""
    from caffezoo.cli.text_table import print_table
    from caffezoo.evaluation.details import class_errors, confused_pairs, read_summary
    from caffezoo.zoo.synsets import class_name

    summary = read_summary(run)
    if as_json:
        print(json.dumps(summary))
        return
    classes, order = summary["classes"], summary["label_order"]
    confusion = [tuple(taken) for taken in summary["confusion"]]
    print(f"{shown(summary['network'])}, {summary['protocol']['name']}, {shown(summary['data'])}")
    for rates in summary["label_sets"]:
        low, high = rates["top1_interval"]
        top5 = "" if rates["top5_error"] is None else f", top-5 {rates['top5_error']:.2f} %"
        top1 = f"top-1 error {rates['top1_error']:.2f} % [{low:.2f}, {high:.2f}]"
        print(f"by {shown(rates['name'])}: {top1}{top5}, {rates['images']} images")
    if summary["calibration_error"] is not None:
        print(f"expected calibration error {100 * summary['calibration_error']:.2f} points")

    def name(label: int) -> str:
        return f"{label} {class_name(label, classes, order)}"

    rows = []
    for one in [found for found in class_errors(confusion) if found.rate.errors][:worst]:
        low, high = one.rate.interval_percent
        rows.append([name(one.label), f"{one.rate.percent:.1f}", f"[{low:.1f}, {high:.1f}]", str(one.rate.images)])
    if rows:
        print("\nworst classes")
        print_table(["class", "error", "at 95 %", "images"], rows, right=("error", "images"))
    pairs = [[name(a), name(b), str(count)] for a, b, count in confused_pairs(confusion)[:worst]]
    if pairs:
        print("\nconfused most")
        print_table(["class", "taken for", "images"], pairs, right=("images",))
