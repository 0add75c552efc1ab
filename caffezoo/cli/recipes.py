"""Which trained network a command means, and how it sees images: flags to a recipe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.cli.networks import complete_network
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.evaluation.classifier import Recipe

Triple = tuple[float, float, float]

NetOption = Annotated[
    str | None,
    typer.Option(help="A network of the zoo; its weights are fetched where needed.", autocompletion=complete_network),
]
PrototxtOption = Annotated[Path | None, typer.Option(help="A prototxt file, instead of --net.")]
WeightsOption = Annotated[Path | None, typer.Option(help="caffemodel or HDF5 weights; with --net instead of its own.")]
MeanOption = Annotated[Triple | None, typer.Option(metavar="B G R", help="Mean to subtract, 0..255.")]
StdOption = Annotated[Triple | None, typer.Option(metavar="B G R", help="Standard deviation to divide by, 0..255.")]
ResizeOption = Annotated[
    str | None, typer.Option(metavar="short|squash", help="Bring the short side, or both sides, to the base size.")
]
CropsOption = Annotated[int, typer.Option(metavar="1|12|144", help="Views an image, whose probabilities are averaged.")]
BaseSizeOption = Annotated[int | None, typer.Option(help="Side in px that an image is resized to.")]
CropSizeOption = Annotated[int | None, typer.Option(help="Side in px of the square that the network sees.")]
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
IndexOption = Annotated[Path | None, typer.Option(help="Your own index, merged over the built-in one.")]


def make_recipe(
    net: str | None,
    prototxt: Path | None,
    weights: Path | None,
    *,
    mean: Triple | None,
    std: Triple | None,
    resize: str | None,
    index: Path | None,
) -> Recipe:
    """Return the recipe of a zoo network, its weights fetched, or of files.

    Raises
    ------
    UsageError
        Neither or both are given, or files without what the index would know.
    FetchError
        The weights cannot be had.
    """
    from dataclasses import replace

    from caffezoo.evaluation.classifier import Recipe

    _check_scaling(mean, std)
    if (net is None) == (prototxt is None):
        raise UsageError("which network?", hint="give --net NAME, or --prototxt FILE --weights FILE --mean B G R")
    if net is not None:
        from caffezoo.zoo.index import load_index

        entry = load_index(index).network(net)
        if weights is None:
            from caffezoo.cli.progress import fetch_with_progress

            weights = fetch_with_progress(entry)
        recipe = Recipe.from_entry(entry, _existing(weights))
        return replace(recipe, mean=mean or recipe.mean, std=std or recipe.std, resize=resize or recipe.resize)
    assert prototxt is not None
    if weights is None:
        raise UsageError("a prototxt file needs --weights FILE")
    if mean is None:
        raise UsageError(
            "a prototxt does not say what was subtracted in training", hint="give --mean B G R (and --std B G R)"
        )
    return Recipe(
        name=prototxt.stem,
        prototxt=_existing(prototxt),
        weights=_existing(weights),
        mean=mean,
        std=std or (1.0, 1.0, 1.0),
        resize=resize or "short",
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UsageError("no such file", where=str(path))
    return path


def _check_scaling(mean: Triple | None, std: Triple | None) -> None:
    """Refuse before weights are fetched what the protocol would refuse after it."""
    if mean is not None and not all(math.isfinite(v) for v in mean):
        raise UsageError(f"--mean {mean} holds a value that is not finite")
    if std is not None and not all(math.isfinite(v) and v > 0 for v in std):
        raise UsageError(f"--std {std} holds a value that is not above 0")
