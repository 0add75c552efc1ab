"""``caffezoo precision``: networks at several precisions on the same images, and what each layer loses."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli import recipes
from caffezoo.cli.command import given_command
from caffezoo.cli.console import say
from caffezoo.cli.evaluation_arguments import each_network
from caffezoo.cli.network_arguments import NetworkArguments, resolve, tell_notes
from caffezoo.cli.precision_layers import layers, scan
from caffezoo.cli.progress import progress
from caffezoo.cli.results import RESULTS_HELP, writable_store
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.evaluation.asked import Asked
    from caffezoo.evaluation.dataset import Dataset
    from caffezoo.evaluation.recipe import Recipe
    from caffezoo.precision.mixed import MixedPrecision
    from caffezoo.precision.session import Quantiser, Setup
    from caffezoo.precision.study import PrecisionResult
    from caffezoo.report.store import Store

FORMATS = ("text", "markdown", "csv", "json")

precision = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
precision.command("scan")(scan)
precision.command("layers")(layers)


@precision.callback()
def study(
    context: typer.Context,
    net: Annotated[
        str | None, typer.Option(metavar="NAME[,NAME]", help="Networks of the zoo; patterns such as 'resnet*' too.")
    ] = None,
    prototxt: Annotated[Path | None, typer.Option(help="A prototxt file instead.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="caffemodel or HDF5 weights; a network of the zoo has its own.")
    ] = None,
    seeded: Annotated[
        bool, typer.Option("--seeded", help="Weights by formula: agreement is measured, labels do not count.")
    ] = False,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    resize: recipes.ResizeOption = None,
    dtypes: Annotated[
        str,
        typer.Option(
            metavar="DTYPE[,DTYPE]",
            help="float32, float16, float16-storage, float16-all, bfloat16, int8; compared with the first.",
        ),
    ] = "float32,float16,bfloat16",
    data: Annotated[
        str | None, typer.Option(metavar="DIR|LIST|sample", help="Images, as `caffezoo evaluate` takes them.")
    ] = None,
    val_file: Annotated[Path | None, typer.Option(help="`path label` lines for a folder.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many images.")] = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="DIR|sample", help="For int8: images that are not evaluated. Default: what is cached."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(metavar="POINTS", help="int8: keep as few layers in float32 as this drop of top-1 asks for."),
    ] = None,
    crops: recipes.CropsOption = 1,
    base_size: recipes.BaseSizeOption = None,
    crop_size: recipes.CropSizeOption = None,
    output: recipes.OutputOption = None,
    engine: recipes.EngineOption = "openvino",
    batch_size: recipes.BatchSizeOption = 8,
    threads: recipes.ThreadsOption = None,
    record: Annotated[
        bool, typer.Option("--record", help="Append to precision.csv, of which the tables are made.")
    ] = False,
    results: Annotated[Path | None, typer.Option(metavar="DIR", help=RESULTS_HELP)] = None,
    form: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="Of the tables.")] = "text",
    index: Annotated[Path | None, typer.Option(help="Your own index, merged over the built-in one.")] = None,
) -> None:
    """Compare networks at several precisions: one pass over the images, paired differences.

    `float16` and `bfloat16` are what the runtime computes in, left out where it would silently run float32;
    `float16-storage` rounds the weights, `float16-all` every tensor after every layer (needs torch); `int8` is
    quantised with NNCF.

    Examples:

    `caffezoo precision --net efficientnet-lite0 --dtypes float32,bfloat16,int8 --calibration sample --data images/`

    `caffezoo precision --net keras-resnet50 --seeded --dtypes float32,float16-all --data sample`

    `caffezoo precision --net 'efficientnet-lite*' --dtypes float32,int8 --data images/ --record`

    `caffezoo precision scan resnet50`
    """
    if context.invoked_subcommand is not None:
        return
    from caffezoo.evaluation.concurrency import default_workers
    from caffezoo.evaluation.dataset import open_dataset
    from caffezoo.precision.session import Setup, run_study
    from caffezoo.precision.study import check_precisions

    if results is not None and not record:
        raise UsageError("--results is for --record")
    store = writable_store(results) if record else None
    wanted = [name.strip() for name in dtypes.split(",") if name.strip()]
    check_precisions(wanted)
    _check(form, wanted, calibration, max_drop, seeded, weights, prototxt)
    options = {"crops": crops, "base_size": base_size, "crop_size": crop_size, "output": output, "threads": threads}
    setup = Setup(engine, batch_size, options)
    networks = each_network(resolve(net=net, prototxt=prototxt, weights=weights, index=index))
    for network in networks:
        _ = network.entry  # an unknown name is told before images are looked for
    dataset = open_dataset(data, val_file=val_file, limit=limit)
    studies: list[list[PrecisionResult]] = []
    mixed: dict[str, MixedPrecision] = {}
    for name, recipe in _recipes(networks, seeded, recipes.ask(mean=mean, std=std, resize=resize)):
        images = _match(dataset, recipe, setup, seeded)
        first, *_ = wanted
        if calibration is not None:
            quantiser = _quantiser(recipe, setup, calibration, images)
            quantiser.quantise()
            if max_drop is not None:
                baseline, images = _baseline(recipe, first, images, setup, seeded)
                mixed[recipe.name] = _search(quantiser, recipe, images, setup, max_drop, baseline)
        with progress(len(images.images), unit=recipe.name) as show:
            studies.append(
                run_study(
                    recipe,
                    wanted,
                    images,
                    setup,
                    labelled=not seeded or max_drop is not None,
                    workers=default_workers(),
                    on_image=lambda done: show(done, ""),
                    on_refused=lambda precision, error: say("warning", f"{precision} is left out: {error}"),
                )
            )
        if store is not None:
            _record(store, studies[-1], network=name, data=dataset.name, seeded=seeded, calibration=calibration)
    _print(studies, mixed, form)


def _check(
    form: str,
    wanted: Sequence[str],
    calibration: str | None,
    max_drop: float | None,
    seeded: bool,
    weights: Path | None,
    prototxt: Path | None,
) -> None:
    from caffezoo.engines.program import PRECISIONS
    from caffezoo.errors import UnknownNameError

    for name in wanted:
        if name not in PRECISIONS:
            raise UnknownNameError("precision", name, PRECISIONS, where="--dtypes")
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS, where="--format")
    if (calibration is not None or max_drop is not None) and "int8" not in wanted:
        raise UsageError("--calibration and --max-drop are for int8", hint="add int8 to --dtypes")
    if max_drop is not None and (calibration is None or max_drop < 0 or wanted[0] != "float32"):
        raise UsageError("--max-drop is points from 0 on, against float32 as the first of --dtypes, and --calibration")
    if seeded and (weights is not None or prototxt is not None):
        raise UsageError("--seeded is for networks of the zoo, without --weights")


def _recipes(networks: Sequence[NetworkArguments], seeded: bool, asked: Asked) -> Iterator[tuple[str, Recipe]]:
    """Yield the networks one after the other with their names; seeded weights go when the next is asked for."""
    from caffezoo.precision.seeded import seeded_recipe

    for network in networks:
        entry = network.entry
        if not seeded or entry is None:
            recipe = recipes.make_recipe(network, asked=asked)
            yield recipe.name, recipe
            continue
        with seeded_recipe(entry, asked=asked) as recipe:
            yield entry.name, recipe


def _record(store: Store, study: Sequence[PrecisionResult], **facts: Any) -> None:
    """Append a network's results, as soon as they are there."""
    from caffezoo.precision.records import precision_rows
    from caffezoo.report.provenance import provenance

    rows = precision_rows(study, provenance(given_command()), **facts)
    store.append(rows)
    runs = ", ".join(row.run for row in rows)
    print(f"caffezoo: {store.path(type(rows[0]))}: added runs {runs}", file=sys.stderr)


def _match(dataset: Dataset, recipe: Recipe, setup: Setup, seeded: bool) -> Dataset:
    """Return the data with its labels numbered as the network's outputs; those of seeded networks do not count."""
    from caffezoo.evaluation.matching import match_labels

    if seeded:
        return dataset
    classifier = setup.open(recipe, "float32")
    try:
        matched = match_labels(dataset, recipe.label_order, classifier.classes)
        tell_notes((*classifier.network_notes, *classifier.warnings))
        tell_notes((*classifier.notes, *matched.notes), "note")
        return matched
    finally:
        classifier.close()


def _quantiser(recipe: Recipe, setup: Setup, calibration: str, dataset: Dataset) -> Quantiser:
    from caffezoo.precision.quantisation import calibration_files
    from caffezoo.precision.session import Quantiser

    return Quantiser(recipe, setup, calibration_files(calibration), dataset)


def _baseline(
    recipe: Recipe, first: str, dataset: Dataset, setup: Setup, seeded: bool
) -> tuple[PrecisionResult, Dataset]:
    """Return the first precision's result, and the data whose labels a drop is counted on."""
    from caffezoo.precision.session import run_study

    (baseline,) = run_study(recipe, [first], dataset, setup, labelled=not seeded)
    if seeded:
        images = tuple(
            replace(image, label=guess) for image, guess in zip(dataset.images, baseline.guesses, strict=True)
        )
        dataset = replace(dataset, images=images)
    return baseline, dataset


def _search(
    quantiser: Quantiser, recipe: Recipe, dataset: Dataset, setup: Setup, max_drop: float, baseline: PrecisionResult
) -> MixedPrecision:
    from caffezoo.precision.session import keep_within

    def step(number: int, kept: int, drop: float) -> None:
        print(f"caffezoo: {recipe.name}: evaluation {number}, {kept} layers kept: {drop:+.2f} points", file=sys.stderr)

    return keep_within(quantiser, recipe, dataset, setup, max_drop, baseline, on_step=step)


def _print(studies: Sequence[Sequence[PrecisionResult]], mixed: dict[str, MixedPrecision], form: str) -> None:
    from caffezoo.cli.text_table import print_table
    from caffezoo.precision.tables import DETAIL_NUMBERS, DETAIL_TITLES, detail_rows, detail_table, study_table
    from caffezoo.report.table import to_csv, to_markdown

    if form == "json":
        for study_ in studies:
            found = mixed.get(study_[0].network)
            record: dict[str, Any] = {"network": study_[0].network, "results": [r.to_json() for r in study_]}
            if found is not None:
                record["kept"] = [{"layer": k.layer, "cost": k.cost} for k in found.kept]
                record["evaluations"] = found.evaluations
            print(json.dumps(record))
        return
    if form == "csv":
        print(to_csv(detail_table(studies)), end="")
        return
    if form == "markdown":
        print(to_markdown(study_table(studies)))
        print(to_markdown(detail_table(studies)), end="")
    else:
        print_table(DETAIL_TITLES, [row for study_ in studies for row in detail_rows(study_)], right=DETAIL_NUMBERS)
    for network, found in mixed.items():
        print(f"\n{network}: {found.drop_of_all:+.2f} points with every layer in int8, {found.drop:+.2f} as kept")
        for kept in found.kept:
            print(f"  kept in float32  {kept.layer}: {kept.cost:+.2f} points were it int8")
        print(f"  {found.evaluations} evaluations")
