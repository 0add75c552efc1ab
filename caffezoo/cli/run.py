"""``caffezoo run``: any network on any input, any blob out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from caffezoo.cli import recipes
from caffezoo.cli.console import say, shown
from caffezoo.cli.engine_choice import AUTO, chosen_engine, file_job
from caffezoo.cli.network_arguments import NetworkArguments, takes_network, tell_notes
from caffezoo.cli.progress import progress
from caffezoo.errors import ImageError, ShapeError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffezoo.evaluation.asked import Asked
    from caffezoo.model.engine_pool import RunOptions
    from caffezoo.model.model import Model

SHOWN_VALUES = 10


@takes_network()
def run(
    arguments: NetworkArguments,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="BLOB=FILE",
            help="npy, npz[:NAME], binaryproto, numbers (600,800,1), an image, a folder or list of images; repeat.",
        ),
    ] = None,
    blobs: Annotated[
        list[str] | None, typer.Option("--blob", help="Blob to return (repeat for several); default: net outputs.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR|FILE.npz", help="Write the blobs: a npy each, or one npz."),
    ] = None,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    scale: recipes.ScaleOption = None,
    raw_scale: recipes.RawScaleOption = None,
    channel_order: recipes.ChannelOrderOption = None,
    resize: recipes.ResizeOption = None,
    base_size: recipes.BaseSizeOption = None,
    crop_size: recipes.CropSizeOption = None,
    engine: recipes.EngineOrAutoOption = "openvino",
    precision: recipes.PrecisionOption = "float32",
    batch_size: recipes.BatchSizeOption = 8,
    threads: recipes.ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line with a JSON object instead.")] = False,
    caffe_python: recipes.CaffePythonOption = None,
) -> None:
    """Run a network on arrays or images and look at, or keep, any of its blobs.

    Arrays go in as they are (NCHW); images are resized, cut and normalised as the network wants them: a prototxt that
    does not say needs --mean (0 for none). Of several images every blob has a row each, in order; a row of an image
    that cannot be read is NaN, and the exit status is 1.

    Examples:

    `caffezoo run efficientnet-lite0 --input photo.jpg`

    `caffezoo run deploy.prototxt net.caffemodel --input data=array.npy --blob conv5 --output blobs/`

    `caffezoo run efficientnet-lite0 --input photos/ --blob pool --output features.npz`
    """
    from caffezoo.model.blob_files import write_blobs
    from caffezoo.model.engine_pool import RunOptions
    from caffezoo.model.input_values import is_array, read_array, split_inputs
    from caffezoo.net.cutting import cut

    if engine == AUTO:
        job = file_job(arguments.title, arguments.file, arguments.options)
        engine = chosen_engine(engine, [job], precision, threads)
    options = {"threads": threads, "caffe_python": caffe_python}
    how = RunOptions(
        engine=engine,
        precision=precision,
        outputs=tuple(blobs) if blobs else None,
        batch_size=batch_size,
        engine_options={name: value for name, value in options.items() if value is not None},
    )
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
    with open_model(arguments, asked, how) as model:
        needed = cut(model.network, model.outputs).inputs
        given = split_inputs(inputs or (), model.inputs, needed)
        if not given:
            raise UsageError("which input?", hint=f"--input BLOB=FILE for {', '.join(needed)}")
        values = [value for some in given.values() for value in some]
        names: list[str] = []
        if not any(map(is_array, values)):
            if len(given) != 1:
                raise UsageError("images are for one input", hint="give the others as arrays, and this one as well")
            found, names, unreadable = _of_images(model, values)
        else:
            for name, some in given.items():
                if len(some) > 1:
                    raise UsageError(f"input '{name}' is given {len(some)} times")
            arrays = {
                name: read_array(some[0], model.inputs[name]) if is_array(some[0]) else model.preprocess(some[0])
                for name, some in given.items()
            }
            found, unreadable = model.forward(arrays), 0
        files = write_blobs(found, output, names) if output is not None else {}
        notes = list(model.notes)
    if as_json:
        print(json.dumps({"blobs": _record(found, files), "images": names, "notes": notes}))
    else:
        _print(found)
        for file in dict.fromkeys(files.values()):
            print(f"wrote {shown(str(file))} ({file.stat().st_size:,} bytes)")
    if unreadable:
        raise typer.Exit(1)


def open_model(arguments: NetworkArguments, asked: Asked, options: RunOptions) -> Model:
    """Return the model that a command means, its weights fetched where needed, and tell what was read of its files."""
    from dataclasses import replace

    from caffezoo.model.model import Model
    from caffezoo.model.source import find_files

    net = arguments.name if arguments.name is not None else arguments.file
    source, recipe = find_files(
        net, arguments.weights_file, asked=asked, options=arguments.options, index=arguments.index
    )
    recipe = replace(recipe, options=arguments.options) if recipe is not None else None
    model = Model(source.read(options.outputs), recipe, options, source)
    tell_notes(model.notes)
    if recipe is not None:
        tell_notes(recipe.warnings)
    return model


def _of_images(model: Model, places: list[str]) -> tuple[dict[str, NDArray[np.float32]], list[str], int]:
    """Return blobs with a row an image, the images' names, and how many cannot be read."""
    from caffezoo.evaluation.features import ONE_BY_ONE
    from caffezoo.evaluation.image_objects import name_of
    from caffezoo.evaluation.named_images import named_images

    images = named_images(places)
    names = [name_of(image, number) for number, image in enumerate(images)]
    found: dict[str, NDArray[np.float32]] = {}
    unreadable: list[int] = []
    with progress(len(images)) as show:
        # A blob of boxes has no batch axis: at batch 1 it is the one image's.
        batch = 1 if len(images) == 1 else None
        for number, one in enumerate(model.image_blobs(images, tuple(model.outputs), batch)):
            show(number + 1, "")
            if isinstance(one, ImageError):
                unreadable.append(number)
                say("error", one)
                continue
            for blob, row in one.items():
                if blob not in found:
                    found[blob] = np.full((len(images), *row.shape), np.nan, np.float32)
                elif row.shape != found[blob].shape[1:]:
                    raise ShapeError(
                        f"blob '{blob}' has shape {list(row.shape)} here, {list(found[blob].shape[1:])} before",
                        where=names[number],
                        hint=ONE_BY_ONE,
                    )
                found[blob][number] = row
    if not found:
        raise ImageError(f"none of the {len(images)} images can be read", where=names[0] if names else None)
    return found, names, len(unreadable)


def _facts(values: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "shape": list(values.shape),
        "min": float(np.nanmin(values)) if values.size else None,
        "max": float(np.nanmax(values)) if values.size else None,
        "mean": float(np.nanmean(values, dtype=np.float64)) if values.size else None,
    }


def _record(found: dict[str, NDArray[np.float32]], files: dict[str, Path]) -> dict[str, Any]:
    return {blob: {**_facts(x), "file": str(files[blob]) if blob in files else None} for blob, x in found.items()}


def _print(found: dict[str, NDArray[np.float32]]) -> None:
    from caffezoo.cli.text_table import print_table

    rows = []
    for blob, values in found.items():
        facts = _facts(values)
        shape = "x".join(map(str, facts["shape"])) or "scalar"
        rows.append((blob, shape, *("" if facts[k] is None else f"{facts[k]:.6g}" for k in ("min", "max", "mean"))))
    print_table(("blob", "shape", "min", "max", "mean"), rows, right=("min", "max", "mean"))
    for blob, values in found.items():
        if values.size <= SHOWN_VALUES:
            print(f"{shown(blob)}: {' '.join(f'{v:.6g}' for v in values.reshape(-1))}")
