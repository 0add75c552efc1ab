"""How a trained network sees images: flags to a recipe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.cli.network_arguments import NetworkArguments
    from caffezoo.data.opening import DataOptions
    from caffezoo.evaluation.classifier import Recipe
    from caffezoo.evaluation.protocol import Protocol
    from caffezoo.net.graph import Network

Triple = tuple[float, float, float]

MeanOption = Annotated[Triple | None, typer.Option(metavar="B G R", help="Mean to subtract, 0..255.")]
StdOption = Annotated[Triple | None, typer.Option(metavar="B G R", help="Standard deviation to divide by, 0..255.")]
ResizeOption = Annotated[
    str | None, typer.Option(metavar="short|squash", help="Bring the short side, or both sides, to the base size.")
]
CropsOption = Annotated[int, typer.Option(metavar="1|12|144", help="Views an image, whose probabilities are averaged.")]
BaseSizeOption = Annotated[int | None, typer.Option(help="Side in px that an image is resized to.")]
CropSizeOption = Annotated[int | None, typer.Option(help="Side in px of the square that the network sees.")]
NetworkOrderOption = Annotated[
    str | None,
    typer.Option(
        metavar="2012|2015|FILE",
        help="What the network's outputs are: ImageNet's classes in a published order, or in that of a file of WordNet "
        "ids. Default: what the index says.",
    ),
]
LabelsOption = Annotated[
    Path | None, typer.Option("--labels", help="Names of the network's classes, one a line in the order of outputs.")
]
DropBackgroundOption = Annotated[
    bool, typer.Option("--drop-background", help="The first output is the background, and no class.")
]
OutputOption = Annotated[
    str | None, typer.Option(metavar="BLOB", help="The blob that holds the scores, where it is not the one chosen.")
]
EngineOption = Annotated[str, typer.Option(help="What runs the network; see `caffezoo engines`.")]
PrecisionOption = Annotated[str, typer.Option(metavar="float32|float16|bfloat16", help="Of the arithmetic.")]
BatchSizeOption = Annotated[int, typer.Option(help="Crops in a batch.")]
ThreadsOption = Annotated[int | None, typer.Option(help="Threads of the engine; default: its own choice.")]
CaffePythonOption = Annotated[
    str | None, typer.Option(metavar="PYTHON", help="Python that has pycaffe, for --engine caffe (or CAFFE_PYTHON).")
]
ImageColumnOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Parquet column, or ending in WebDataset shards, of the images; else found."),
]
LabelColumnOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Parquet column, or ending in WebDataset shards, of the labels; else found."),
]
DataChannelOrderOption = Annotated[
    str | None,
    typer.Option(
        metavar="RGB|BGR", help="What OpenCV decodes a pickle's images to. Default: RGB, as of the known one."
    ),
]
ClassNamesOption = Annotated[
    Path | None,
    typer.Option(
        "--classes", metavar="FILE", help="Names of classes, one a line, for folders that are named by class."
    ),
]


def data_options(
    image_column: str | None, label_column: str | None, channel_order: str | None, class_names: Path | None
) -> DataOptions:
    """Return what flags say of data beside their path."""
    from caffezoo.data.opening import DataOptions
    from caffezoo.zoo.synsets import read_names

    names = read_names(class_names) if class_names is not None else None
    return DataOptions(image_column, label_column, channel_order, names)


def make_recipe(
    network: NetworkArguments,
    *,
    mean: Triple | None,
    std: Triple | None,
    resize: str | None,
    network_order: str | None = None,
    labels: Path | None = None,
    drop_background: bool = False,
) -> Recipe:
    """Return the recipe of a zoo network, its weights fetched, or of files.

    Raises
    ------
    UsageError
        Files without what the index would know.
    FetchError
        The weights cannot be had.
    """
    from dataclasses import replace

    from caffezoo.evaluation.classifier import Recipe

    _check_scaling(mean, std)
    entry = network.entry
    if entry is not None:
        recipe = replace(Recipe.from_entry(entry, network.weights_file), options=network.options)
        recipe = replace(recipe, mean=mean or recipe.mean, std=std or recipe.std, resize=resize or recipe.resize)
        return _with_classes(recipe, network_order, labels, drop_background)
    weights = network.weights_file
    if mean is None:
        raise UsageError(
            "a prototxt does not say what was subtracted in training", hint="give --mean B G R (and --std B G R)"
        )
    recipe = Recipe(
        name=network.title,
        prototxt=network.file,
        weights=weights,
        mean=mean,
        std=std or (1.0, 1.0, 1.0),
        resize=resize or "short",
        options=network.options,
    )
    return _with_classes(recipe, network_order, labels, drop_background)


def input_protocol(arguments: NetworkArguments, network: Network, mean: Triple | None, std: Triple | None) -> Protocol:
    """Return how images become the network's input at its declared size: as the index has it, unless flags do."""
    from caffezoo.evaluation.protocol import Protocol

    entry = arguments.entry
    preset = entry.preset("small") if entry is not None else None
    mean = mean or (preset.mean if preset else None)
    if mean is None:
        raise UsageError(
            "a prototxt does not say what was subtracted in training", hint="give --mean B G R (and --std B G R)"
        )
    shape = next(iter(network.inputs.values()))
    return Protocol(
        base_size=max(shape[2], (preset.base_size if preset else None) or shape[2]),
        crop_size=shape[2],
        resize=preset.resize if preset else "short",
        mean=mean,
        std=std or (preset.std if preset else (1.0, 1.0, 1.0)),
        channel_order=entry.input.channel_order if entry is not None else "BGR",
    )


def _with_classes(recipe: Recipe, order: str | None, labels: Path | None, drop_background: bool) -> Recipe:
    """Return a recipe with what flags say of the network's classes."""
    from dataclasses import replace

    from caffezoo.zoo.synsets import read_names, synsets

    names = recipe.class_names
    if order is not None:
        names = tuple(synset.names for synset in synsets(order))  # raises where there is no such order
    if labels is not None:
        names = read_names(labels)
    order = order or recipe.label_order
    return replace(recipe, label_order=order, class_names=names, drop_background=drop_background)


def _check_scaling(mean: Triple | None, std: Triple | None) -> None:
    """Refuse before weights are fetched what the protocol would refuse after it."""
    if mean is not None and not all(math.isfinite(v) for v in mean):
        raise UsageError(f"--mean {mean} holds a value that is not finite")
    if std is not None and not all(math.isfinite(v) and v > 0 for v in std):
        raise UsageError(f"--std {std} holds a value that is not above 0")
