"""``caffezoo fold``: batch norm and scale taken into the layers before them, and what that does to the numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli import recipes
from caffezoo.cli.network_arguments import NetworkArguments, takes_network
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.evaluation.agreement import Agreement
    from caffezoo.evaluation.asked import Asked
    from caffezoo.net.fold_report import LayerDelta, MergedLayer
    from caffezoo.net.folding import Folding
    from caffezoo.net.graph import Network
    from caffezoo.precision.quantisation import CalibrationImages


@takes_network()
def fold(
    arguments: NetworkArguments,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write NAME.prototxt and NAME.caffemodel there."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights that another tool has folded: which layers differ, and why."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Compare all blobs on so many drawn inputs; 0 leaves that out.")] = 8,
    data: Annotated[
        str | None, typer.Option(metavar="DIR|sample", help="Compare all blobs on these images too.")
    ] = None,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    engine: Annotated[str, typer.Option(help="What runs the comparison; see `caffezoo engines`.")] = "openvino",
    caffe_python: Annotated[
        str | None, typer.Option(metavar="PYTHON", help="Python that has pycaffe, for --engine caffe.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line with a JSON object instead.")] = False,
) -> None:
    """Fold batch norm, scale and bias layers wherever that is exact, and prove it.

    Every layer that stays is named with its reason. Blobs are computed in float64 and stored as float32.

    Examples:

    `caffezoo fold efficientnet-lite0 -o folded/`

    `caffezoo fold deploy.prototxt --weights net.caffemodel -o folded/ --samples 100`

    `caffezoo fold open-nsfw --data photos/ --engine caffe --caffe-python .oracle/bin/python`

    `caffezoo fold deploy.prototxt --weights net.caffemodel --against merged_by_others.caffemodel`
    """
    from caffezoo.evaluation.agreement import agreement, drawn_batches
    from caffezoo.net.files import write_network
    from caffezoo.net.fold_report import compare_merged, rounding
    from caffezoo.net.folding import fold as fold_network

    if samples < 0:
        raise UsageError(f"{samples} samples are fewer than none")
    if data is None and (mean is not None or std is not None):
        raise UsageError("--mean and --std are of the images of --data")
    network = arguments.open_with_weights()
    images = _images(arguments, network, data, recipes.ask(mean=mean, std=std)) if data is not None else None
    folding = fold_network(network)
    merged = compare_merged(network, _blobs(against)) if against is not None else None
    deltas = rounding(network, folding)
    compared: dict[str, Agreement] = {}
    compare = partial(agreement, network, folding.network, engine=engine, caffe_python=caffe_python)
    if samples:
        batch = min(samples, 4)
        compared["drawn inputs"] = compare(drawn_batches(network, samples, batch), batch_size=batch)
    if images is not None:
        compared["images"] = compare(images, batch_size=1)
    files = write_network(folding.network, output / arguments.title, replace=force) if output else []
    if as_json:
        print(json.dumps(_record(folding, deltas, compared, merged, files)))
    else:
        _print(folding, deltas, compared, merged)
        for file in files:
            print(f"wrote {file} ({file.stat().st_size:,} bytes)")
    if merged is not None and any(other.cause for other in merged):
        raise typer.Exit(1)


def _blobs(file: Path) -> dict[str, Any]:
    from caffezoo.formats.caffemodel import read_weights

    return {layer.name: [blob.data for blob in layer.blobs] for layer in read_weights(file).layers if layer.blobs}


def _images(arguments: NetworkArguments, network: Network, data: str, asked: Asked) -> CalibrationImages:
    from caffezoo.precision.quantisation import CalibrationImages, calibration_files

    return CalibrationImages(
        calibration_files(data), recipes.input_protocol(arguments, network, asked), next(iter(network.inputs))
    )


def _print(
    folding: Folding,
    deltas: list[LayerDelta],
    compared: Mapping[str, Agreement],
    merged: list[MergedLayer] | None,
) -> None:
    for delta in deltas:
        print(f"{delta.layer:<40} [max delta: w={delta.weight:<10.3g} b={delta.bias:<10.3g}]")
    for layer, reason in folding.kept:
        print(f"kept         {layer}: {reason}")
    print(f"folded       {len(folding.folded)} layers into {len({into for _, into in folding.folded})}")
    if folding.collapsed:
        into = len({into for _, into in folding.collapsed})
        print(f"collapsed    {len(folding.collapsed)} layers into {into} of one scale and shift")
    print(f"kept         {len(folding.kept)} layers")
    if deltas:
        worst = max(deltas, key=lambda d: d.relative)
        print(f"rounding     against float64: {worst.relative:.2g} of the largest value at most ('{worst.layer}')")
    for inputs, found in compared.items():
        w = found.worst
        print(f"compared     {len(found.blobs)} blobs on {found.samples} {inputs}")
        print(f"worst blob   '{w.blob}': {w.largest:.3g} of {w.scale:.3g}, relative {w.relative:.2g}")
        print(f"top-1        differs on {found.top1_differs} of {found.samples} ('{found.output}')")
        print(f"top-1        not in the other's five on {found.top1_not_in_five} of {found.samples}")
    if merged is not None:
        wrong = [other for other in merged if other.cause]
        for other in wrong:
            d = other.delta
            print(f"{d.layer:<40} [max delta: w={d.weight:<10.3g} b={d.bias:<10.3g}] {other.cause}")
        print(f"merged       {len(merged) - len(wrong)} of {len(merged)} layers as folded here")


def _record(
    folding: Folding,
    deltas: list[LayerDelta],
    compared: Mapping[str, Agreement],
    merged: list[MergedLayer] | None,
    files: Sequence[Path],
) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "folded": dict(folding.folded),
        "collapsed": dict(folding.collapsed),
        "kept": dict(folding.kept),
        "rounding": [asdict(delta) for delta in deltas],
        "agreement": asdict(compared["drawn inputs"]) if "drawn inputs" in compared else None,
        "images": asdict(compared["images"]) if "images" in compared else None,
        "merged": None if merged is None else [asdict(layer) for layer in merged],
        "files": [str(file) for file in files],
        "notes": list(folding.network.notes),
    }
