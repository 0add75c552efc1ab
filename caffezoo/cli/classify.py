"""``caffezoo classify``: what a network sees in images."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from caffezoo.cli import recipes
from caffezoo.cli.calibration import CalibrationOption, calibrate
from caffezoo.cli.console import say, shown
from caffezoo.cli.engine_choice import AUTO, chosen_engine, recipe_jobs
from caffezoo.cli.network_arguments import NetworkArguments, takes_network, tell_notes
from caffezoo.errors import ImageError, UsageError


@takes_network(sift="images")
def classify(
    arguments: NetworkArguments,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE|DIR|LIST...", help="Files, folders or archives, lists.")
    ],
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    scale: recipes.ScaleOption = None,
    raw_scale: recipes.RawScaleOption = None,
    channel_order: recipes.ChannelOrderOption = None,
    resize: recipes.ResizeOption = None,
    crops: recipes.CropsOption = 1,
    base_size: recipes.BaseSizeOption = None,
    crop_size: recipes.CropSizeOption = None,
    output: recipes.OutputOption = None,
    network_order: recipes.NetworkOrderOption = None,
    labels: recipes.LabelsOption = None,
    drop_background: recipes.DropBackgroundOption = False,
    engine: recipes.EngineOrAutoOption = "openvino",
    precision: recipes.PrecisionOption = "float32",
    calibration: CalibrationOption = None,
    batch_size: recipes.BatchSizeOption = 1,
    threads: recipes.ThreadsOption = None,
    top: Annotated[int, typer.Option(help="Classes to name.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line with a JSON array instead.")] = False,
    caffe_python: recipes.CaffePythonOption = None,
) -> None:
    """Name the most probable classes of images.

    Images that cannot be read are told on stderr, the others go on, and the exit status is 1.

    Examples:

    `caffezoo classify dog.jpg --net efficientnet-lite0`

    `caffezoo classify *.jpg photos/ list.txt --net open-nsfw --json`

    `caffezoo classify deploy.prototxt net.caffemodel dog.jpg --mean 104 117 123`
    """
    from caffezoo.evaluation.classification import classify as run
    from caffezoo.evaluation.classifier import open_classifier
    from caffezoo.evaluation.named_images import named_images

    if not images:
        raise UsageError("which image?", hint="give one or more image files, or a folder")
    named = named_images(images)
    asked = recipes.ask(
        mean=mean,
        std=std,
        scale=scale,
        raw_scale=raw_scale,
        resize=resize,
        channel_order=channel_order,
        base_size=base_size,
        crop_size=crop_size,
    )
    recipe = recipes.make_recipe(
        arguments,
        asked=asked,
        network_order=network_order,
        labels=labels,
        drop_background=drop_background,
    )
    if engine == AUTO:
        engine = chosen_engine(engine, recipe_jobs([recipe], asked, batch_size, crops), precision, threads)
    calibrate([recipe], precision, calibration, engine=engine, output=output)
    classifier = open_classifier(
        recipe,
        crops=crops,
        output=output,
        engine=engine,
        batch_size=batch_size,
        precision=precision,
        threads=threads,
        caffe_python=caffe_python,
    )
    found, unreadable = [], 0
    tell_notes((*classifier.network_notes, *classifier.warnings))
    tell_notes(classifier.notes, "note")
    notes = [*classifier.network_notes, *classifier.warnings, *classifier.notes]
    try:
        for outcome in run(classifier, named, top=top):
            if isinstance(outcome, ImageError):
                unreadable += 1
                say("error", outcome)
            elif as_json:
                found.append({**outcome.to_json(), "notes": notes})
            else:
                print(shown(outcome.image))
                for guess in outcome.top:
                    value = (
                        f"{guess.probability:8.4f}"
                        if outcome.kind == "unknown"
                        else f"{100 * guess.probability:6.2f} %"
                    )
                    print(f"  {value}  {guess.index:4d}  {shown(guess.label)}")
    finally:
        classifier.close()
    if as_json:
        print(json.dumps(found))
    if unreadable:
        raise typer.Exit(1)
