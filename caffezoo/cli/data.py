"""``caffezoo data``: what images and labels are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli import recipes
from caffezoo.cli.console import say, shown
from caffezoo.cli.progress import progress
from caffezoo.errors import UsageError

SHOWN_UNREADABLE = 20

data = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Look at data sets before networks are measured on them, and make what Caffe trains on.

    Example:

    `caffezoo data inspect ILSVRC2012_img_val.tar`

    `caffezoo data convert-imageset photos/ photos_lmdb --resize-height 256 --resize-width 256`
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
    from caffezoo.evaluation.concurrency import default_workers
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


@data.command("convert-imageset")
def convert_imageset(
    paths: Annotated[list[str], typer.Argument(metavar="FOLDER [LIST] DB", help="Images, their list, the new LMDB.")],
    resize_height: Annotated[int, typer.Option(metavar="PX", help="0 leaves images as they are.")] = 0,
    resize_width: Annotated[int, typer.Option(metavar="PX")] = 0,
    gray: Annotated[bool, typer.Option("--gray", help="One channel.")] = False,
    encoded: Annotated[bool, typer.Option("--encoded", help="Store encoded images instead of pixels.")] = False,
    encode_type: Annotated[str, typer.Option(metavar="png|jpg", help="Encode images so.")] = "",
    shuffle: Annotated[bool, typer.Option("--shuffle", help="In another order, by --seed.")] = False,
    seed: Annotated[int, typer.Option(help="Of --shuffle.")] = 0,
    check_size: Annotated[bool, typer.Option("--check-size", help="All images must be of one size.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at an image that cannot be read.")] = False,
) -> None:
    """Write images into an LMDB that Caffe's Data layer reads, as Caffe's convert_imageset.

    LIST holds `path label` lines, the paths from FOLDER. Without it FOLDER holds a folder a class, which are counted
    in the order of their names.

    Examples:

    `caffezoo data convert-imageset photos/ photos_lmdb --resize-height 256 --resize-width 256`

    `caffezoo data convert-imageset / train.txt train_lmdb --encoded --shuffle`
    """
    from caffezoo.training.imageset import Conversion, class_folders, read_list
    from caffezoo.training.imageset import convert_imageset as convert

    if len(paths) not in (2, 3):
        raise UsageError(f"takes FOLDER [LIST] DB, has {len(paths)} paths")
    if (resize_height > 0) != (resize_width > 0):
        raise UsageError("give both --resize-height and --resize-width")
    images = read_list(paths[1]) if len(paths) == 3 else class_folders(paths[0])[0]
    resize = (resize_height, resize_width) if resize_height else None
    how = Conversion(resize, gray, encoded or bool(encode_type), encode_type, shuffle, check_size, strict, seed)
    with progress(len(images), unit="images") as show:
        done = convert(paths[0], images, paths[-1], how, lambda n: show(n, f"{n} of {len(images)} images"))
    for line in done.skipped[:SHOWN_UNREADABLE]:
        say("warning", line)
    left_out = f", {len(done.skipped)} left out" if done.skipped else ""
    print(f"wrote {shown(paths[-1])}: {done.records} images{left_out}")


@data.command("compute-mean")
def compute_mean(
    database: Annotated[str, typer.Argument(metavar="DB", help="An LMDB.")],
    output: Annotated[str | None, typer.Argument(metavar="[FILE.binaryproto]", help="The mean image.")] = None,
) -> None:
    """Print the mean of every channel of an LMDB, and write the mean image, as Caffe's compute_image_mean.

    Example: `caffezoo data compute-mean train_lmdb mean.binaryproto`
    """
    from caffezoo.training.imageset import compute_mean as mean_of

    with progress(0, unit="images") as show:
        mean = mean_of(database, output, lambda n: show(0, f"{n} images"))
    for channel, value in enumerate(mean.mean((1, 2))):
        print(f"mean_value channel [{channel}]: {value:.6g}")
    if output is not None:
        print(f"wrote {shown(output)}")
