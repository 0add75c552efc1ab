"""``caffezoo data``: what images and labels are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli import recipes
from caffezoo.cli.console import say, shown
from caffezoo.cli.progress import progress

SHOWN_UNREADABLE = 20

data = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Look at data sets before networks are measured on them.

    Example:

    `caffezoo data inspect ILSVRC2012_img_val.tar`
    """,
)


@data.callback()
def _data() -> None:
    pass


@data.command("inspect")
def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Whatever `evaluate --data` takes.")],
    val_file: Annotated[Path | None, typer.Option(help="The labels: `path label` lines.")] = None,
    labels_from: Annotated[int, typer.Option(metavar="0|1", help="The number of the first class.")] = 0,
    image_column: recipes.ImageColumnOption = None,
    label_column: recipes.LabelColumnOption = None,
    data_channel_order: recipes.DataChannelOrderOption = None,
    class_names: recipes.ClassNamesOption = None,
    look_at: Annotated[
        int | None, typer.Option(metavar="N", help="Decode only N images, evenly spread. Default: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what a data set holds: images, classes, the order of labels and how it is known, sizes, what is unreadable.

    Exit status 1 if an image cannot be read.

    Examples:

    `caffezoo data inspect images/ --val-file labels.txt`

    `caffezoo data inspect imagenet-validation.parquet --look-at 500 --json`
    """
    from caffezoo.evaluation.evaluator import default_workers
    from caffezoo.evaluation.inspection import inspect_data

    with progress(100, unit="images") as show:
        found = inspect_data(
            path,
            val_file=None if val_file is None else str(val_file),
            labels_from=labels_from,
            options=recipes.data_options(image_column, label_column, data_channel_order, class_names),
            look_at=look_at,
            workers=default_workers(),
            on_image=lambda done, total: show(100 * done / total, f"{done} of {total} images"),
        )
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        print(f"data        {shown(found.name)}: {found.kind}, {found.images} images")
        if found.labels_from:
            span = f"{found.classes} classes, labels {found.lowest}..{found.highest}"
            print(f"labels      {span}, from {shown(found.labels_from)}")
            order = f"{found.order}: {found.order_said_by}" if found.order else "nobody says; taken as they stand"
            print(f"order       {shown(order)}")
        else:
            print("labels      none")
        if found.sizes:
            small, middle, large = (f"{width} x {height}" for width, height in found.sizes)
            print(f"sizes       {small} to {large} px, median {middle}")
        print(f"unreadable  {len(found.unreadable)} of the {found.looked_at} images looked at")
        print(f"run         {shown(found.command)}")
    for note in found.notes:
        say("note", note)
    for name, reason in found.unreadable[:SHOWN_UNREADABLE]:
        say("warning", f"{name}: {reason}")
    if len(found.unreadable) > SHOWN_UNREADABLE:
        say("warning", f"{len(found.unreadable) - SHOWN_UNREADABLE} more images are unreadable")
    raise typer.Exit(1 if found.unreadable else 0)
