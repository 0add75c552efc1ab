"""How a trained network sees images: flags to a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.cli.network_arguments import NetworkArguments
    from caffezoo.data.opening import DataOptions
    from caffezoo.evaluation.asked import Asked
    from caffezoo.evaluation.protocol import Protocol
    from caffezoo.evaluation.recipe import Recipe
    from caffezoo.net.graph import Network

MeanOption = Annotated[
    str | None,
    typer.Option(metavar="B G R|FILE", help="Mean to subtract, 0..255; one number for all, or binaryproto or npy."),
]
StdOption = Annotated[str | None, typer.Option(metavar="B G R", help="Standard deviation to divide by, 0..255.")]
ScaleOption = Annotated[
    float | None,
    typer.Option(help="Multiply by this after the mean, instead of --std: a prototxt's scale, pycaffe's input_scale."),
]
RawScaleOption = Annotated[
    float | None, typer.Option(help="What white is in --mean, --std and --scale: 255, or 1 for values of 0..1.")
]
ChannelOrderOption = Annotated[
    str | None,
    typer.Option(metavar="BGR|RGB|grey", help="What the network takes; default: BGR, or the index's."),
]
ResizeOption = Annotated[
    str | None, typer.Option(metavar="short|squash", help="Bring the short side, or both sides, to the base size.")
]
CropsOption = Annotated[
    int,
    typer.Option(
        metavar="1|10|12|144|N",
        help="Views an image, whose probabilities are averaged; N: a grid (4, 9, 16, ...), or twice that with mirrors.",
    ),
]
BaseSizeOption = Annotated[
    str | None, typer.Option(metavar="SIDE|HxW", help="Size in px that an image is resized to cover.")
]
CropSizeOption = Annotated[
    str | None, typer.Option(metavar="SIDE|HxW", help="Size in px that the network sees: 224, or 112x96.")
]
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
EngineOrAutoOption = Annotated[
    str,
    typer.Option(help="What runs the network; see `caffezoo engines`. auto: the fastest in a short trial, remembered."),
]
PrecisionOption = Annotated[str, typer.Option(metavar="float32|float16|bfloat16|int8", help="Of the arithmetic.")]
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


def ask(
    *,
    mean: str | None = None,
    std: str | None = None,
    scale: float | None = None,
    raw_scale: float | None = None,
    resize: str | None = None,
    channel_order: str | None = None,
    base_size: str | None = None,
    crop_size: str | None = None,
) -> Asked:
    """Return what the flags ask of preprocessing.

    Raises
    ------
    UsageError
        Values that cannot be.
    """
    from caffezoo.evaluation.asked import Asked, parse_levels
    from caffezoo.formats.image_size import Size

    deviation = parse_levels(std, "--std") if std is not None else None
    if isinstance(deviation, Path):
        raise UsageError(f"--std '{std}' is no number", hint="give --std B G R, or one for all channels")
    if channel_order is not None:
        channel_order = {"bgr": "BGR", "rgb": "RGB", "gray": "grey"}.get(channel_order.lower(), channel_order.lower())
    return Asked(
        mean=parse_levels(mean, "--mean") if mean is not None else None,
        std=deviation,
        scale=scale,
        raw_scale=raw_scale,
        resize=resize,
        channel_order=channel_order,
        base_size=Size.of(base_size, "base size") if base_size is not None else None,
        crop_size=Size.of(crop_size, "crop size") if crop_size is not None else None,
    )


def make_recipe(
    network: NetworkArguments,
    *,
    asked: Asked,
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

    from caffezoo.evaluation.recipe import Recipe

    entry = network.entry
    if entry is not None:
        # Refuses before weights are fetched what would be refused after.
        Recipe.from_entry(entry, Path(), asked).check_task()
        recipe = replace(Recipe.from_entry(entry, network.weights_file, asked), options=network.options)
    else:
        recipe = Recipe.from_files(network.file, network.weights_file, asked, network.options)
    return _with_classes(recipe, network_order, labels, drop_background)


def input_protocol(network: NetworkArguments, opened: Network, asked: Asked) -> Protocol:
    """Return how images become the network's input at its present size: one crop, as asked or known."""
    from dataclasses import replace

    from caffezoo.evaluation.asked import put_together
    from caffezoo.evaluation.protocol import Protocol
    from caffezoo.evaluation.sizes import image_input
    from caffezoo.formats.data_layer import data_layer

    entry = network.entry
    known = entry.preset("small") if entry is not None else None
    channels, size = image_input(opened.inputs, opened.path)
    layer = data_layer(opened.prototxt.net, opened.prototxt.lines)
    found = put_together(asked, channels=channels, known=known, layer=layer, where=network.file).preprocessing
    base = found.base_size if found.base_size is not None and found.base_size.holds(size) else size
    return Protocol.of(replace(found, base_size=base, crop_size=size, mean_image=None))


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
    background = drop_background or recipe.drop_background
    return replace(recipe, label_order=order, class_names=names, drop_background=background)
