"""``caffezoo evaluate``: error rates of a network on labelled images."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.cli import recipes
from caffezoo.cli.command import given_command
from caffezoo.cli.console import say, shown
from caffezoo.cli.network_arguments import NetworkArguments, short_note, takes_network, tell_notes
from caffezoo.cli.progress import progress
from caffezoo.cli.results import RESULTS_HELP, writable_store
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.evaluation.metrics import ErrorRate
    from caffezoo.evaluation.result import EvaluationResult, Progress

SHOWN_UNREADABLE = 20


@takes_network()
def evaluate(
    arguments: NetworkArguments,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    scale: recipes.ScaleOption = None,
    raw_scale: recipes.RawScaleOption = None,
    channel_order: recipes.ChannelOrderOption = None,
    resize: recipes.ResizeOption = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|sample",
            help="Images: a folder, a tar, a zip, an LMDB, Parquet or WebDataset shards, a pickle, a list of `path "
            "label` lines, or the 20 built-in ones. Default: CAFFEZOO_DATA, else ~/Database/ILSVRC2012.",
        ),
    ] = None,
    val_file: Annotated[
        Path | None,
        typer.Option(help="The labels: `path label` lines. ILSVRC2012, folders named n01440764, ... need none."),
    ] = None,
    image_column: recipes.ImageColumnOption = None,
    label_column: recipes.LabelColumnOption = None,
    data_channel_order: recipes.DataChannelOrderOption = None,
    class_names: recipes.ClassNamesOption = None,
    label_order: Annotated[
        str | None,
        typer.Option(
            metavar="2012|2015|FILE|listed",
            help="Order of the ImageNet classes in the list; default: what file names prove, else the network's. "
            "`listed` believes the list, whatever names tell.",
        ),
    ] = None,
    labels_from: Annotated[int, typer.Option(metavar="0|1", help="What the list counts its labels from.")] = 0,
    crops: recipes.CropsOption = 1,
    base_size: recipes.BaseSizeOption = None,
    crop_size: recipes.CropSizeOption = None,
    output: recipes.OutputOption = None,
    network_order: recipes.NetworkOrderOption = None,
    drop_background: recipes.DropBackgroundOption = False,
    engine: recipes.EngineOption = "openvino",
    precision: recipes.PrecisionOption = "float32",
    batch_size: recipes.BatchSizeOption = 8,
    threads: recipes.ThreadsOption = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many images.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first unreadable image.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on where the same evaluation was interrupted.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line with a JSON object instead.")] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Append to accuracy.csv, and which class was taken for which.")
    ] = False,
    results: Annotated[Path | None, typer.Option(metavar="DIR", help=RESULTS_HELP)] = None,
    caffe_python: recipes.CaffePythonOption = None,
) -> None:
    """Measure a network's top-1 and top-5 error on labelled images.

    Sizes, mean and std are those that the network is published with, unless flags say otherwise. Errors carry 95 %
    Wilson intervals. Ctrl-C stops and reports the images until then; the same command goes on from there.

    Examples:

    `caffezoo evaluate --net efficientnet-lite0 --data sample --record`

    `caffezoo evaluate --net efficientnet-lite0 --data images/ --val-file labels.txt --crops 12 --json`

    `caffezoo evaluate --prototxt deploy.prototxt --weights net.caffemodel --mean 104 117 123 --data val.txt`
    """
    from caffezoo.evaluation.classifier import open_classifier
    from caffezoo.evaluation.dataset import open_dataset
    from caffezoo.evaluation.evaluator import default_workers, open_journal
    from caffezoo.evaluation.evaluator import evaluate as run
    from caffezoo.evaluation.matching import match_labels
    from caffezoo.report.provenance import provenance
    from caffezoo.zoo.resources import cache_dir

    if results is not None and not record:
        raise UsageError("--results is for --record")
    store = writable_store(results) if record else None
    recipe = recipes.make_recipe(
        arguments,
        asked=recipes.ask(
            mean=mean,
            std=std,
            scale=scale,
            raw_scale=raw_scale,
            resize=resize,
            channel_order=channel_order,
            base_size=base_size,
            crop_size=crop_size,
        ),
        network_order=network_order,
        drop_background=drop_background,
    )
    dataset = open_dataset(
        data,
        val_file=val_file,
        limit=limit,
        list_order=label_order,
        labels_from=labels_from,
        options=recipes.data_options(image_column, label_column, data_channel_order, class_names),
    )
    classifier = open_classifier(
        recipe,
        crops=crops,
        output=output,
        engine=engine,
        batch_size=min(batch_size, len(dataset.images) * max(crops, 1)),
        precision=precision,
        threads=threads,
        caffe_python=caffe_python,
    )
    try:
        dataset = match_labels(dataset, recipe.label_order, classifier.classes)
        tell_notes((*classifier.network_notes, *classifier.warnings))
        tell_notes((*classifier.notes, *dataset.notes), "note")
        journal = open_journal(cache_dir() / "evaluations", classifier, dataset, resume=resume)
        if journal and journal.outcomes:
            done = f"{len(journal.outcomes)} of {len(dataset.images)} images"
            print(f"caffezoo: going on after {done} (--no-resume starts anew)", file=sys.stderr)
        start = time.perf_counter()
        with progress(len(dataset.images)) as show:
            result = run(
                classifier,
                dataset,
                workers=default_workers(),
                strict=strict,
                journal=journal,
                on_image=lambda at: show(at.done, _running(at, start)),
            )
    finally:
        classifier.close()
    _report_unreadable(result)
    for warning in result.warnings:
        say("warning", warning)
    note = short_note(classifier.network_notes, recipe.prototxt, recipe.weights)
    line = json.dumps({**result.to_json(), "note": note, **provenance(given_command())})
    if as_json:
        print(line)
    else:
        _print_result(result)
    if store is not None and not result.interrupted:
        from caffezoo.report.records import parse_records

        rows = parse_records(line, f"network '{result.network}'")
        store.append(rows)
        print(f"caffezoo: {store.path(type(rows[0]))}: added run {rows[0].run}", file=sys.stderr)
    if result.interrupted:
        kept = "; nothing is recorded of it" if record else ""
        again = "; the same command goes on from here" if journal else ""
        done = f"{result.images + len(result.unreadable)} of {result.total} images"
        print(f"caffezoo: interrupted after {done}{kept}{again}", file=sys.stderr)
        raise typer.Exit(130)


def _print_result(result: EvaluationResult) -> None:
    p = result.protocol
    crops = "1 crop" if p.crops == 1 else f"{p.crops} crops"
    sides = "short side" if p.resize == "short" else "both sides"
    skipped = f", {len(result.unreadable)} unreadable" if result.unreadable else ""
    versions = f"{result.engine} {result.versions[result.engine]}"
    threads = f", {result.threads} threads" if result.threads else ""
    print(f"network      {shown(result.network)}, {result.classes} classes, scores from '{shown(result.output)}'")
    print(f"data         {shown(result.data)}: {result.images} images{skipped}, labels from {result.label_list}")
    print(f"protocol     {crops} of {p.crop_size} px, {sides} {p.base_size} px, {p.decoder}, {p.resizer}")
    order = "grey" if p.channel_order == "grey" else "B, G, R"
    of_each = " for each pixel, on average" if p.mean_image is not None else ""
    print(f"             mean {_levels(p.mean)}{of_each}, std {_levels(p.std)} ({order})")
    print(f"ran on       {versions}, {result.device}, {result.precision}{threads}, batch {result.batch_size}")
    print(f"speed        {result.images_per_second:.1f} images/s ({result.seconds:.1f} s)")
    _print_rate("top-1 error", result.top1)
    if result.top5 is not None:
        _print_rate("top-5 error", result.top5)


def _print_rate(name: str, rate: ErrorRate) -> None:
    low, high = rate.interval_percent
    print(f"{name}  {rate.percent:.2f} %  [{low:.2f}, {high:.2f}] at 95 %  ({rate.errors} of {rate.images})")


def _levels(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:g}" for v in values)


def _report_unreadable(result: EvaluationResult) -> None:
    for path, reason in result.unreadable[:SHOWN_UNREADABLE]:
        say("warning", f"{path}: {reason}")
    if result.unreadable:
        more = len(result.unreadable) - SHOWN_UNREADABLE
        rest = f" ({more} more than shown)" if more > 0 else ""
        count = f"{len(result.unreadable)} of {result.total}"
        say("warning", f"{count} images are unreadable and not in the error rates{rest}")


def _running(progress: Progress, start: float) -> str:
    parts = [f"{(progress.done - progress.resumed) / (time.perf_counter() - start):.1f} images/s"]
    if progress.top1 is not None:
        parts.append(f"top-1 error {progress.top1.percent:.2f}")
    if progress.top5 is not None:
        parts.append(f"top-5 error {progress.top5.percent:.2f}")
    if progress.unreadable:
        parts.append(f"{progress.unreadable} unreadable")
    return "  ".join(parts)
