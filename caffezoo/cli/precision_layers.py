"""``caffezoo precision scan`` and ``layers``: what float16 and 8 bits do to a network, layer by layer."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli import recipes
from caffezoo.cli.network_arguments import NetworkArguments, takes_network
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.net.graph import Network
    from caffezoo.precision.layer_noise import FormNoise
    from caffezoo.precision.scan import Finding


@takes_network()
def scan(
    arguments: NetworkArguments,
    seeded: Annotated[bool, typer.Option("--seeded", help="Weights by formula instead.")] = False,
    data_statistics: Annotated[
        bool,
        typer.Option(
            "--data-statistics",
            help="Give batch norm the mean and variance of the inputs, as training on them would leave it.",
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(metavar="DIR|sample", help="Images for the noise of layers. Default: drawn inputs."),
    ] = None,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    samples: Annotated[int, typer.Option(help="Inputs for the noise of layers; 0 leaves it out.")] = 8,
    low: Annotated[float, typer.Option(help="Smallest value of drawn inputs.")] = -2.0,
    high: Annotated[float, typer.Option(help="Largest value of drawn inputs.")] = 2.0,
    top: Annotated[int, typer.Option(help="Noisiest blobs to show a form.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line with a JSON object instead.")] = False,
) -> None:
    """Name the channels that float16 does not hold, as published and folded, and measure the noise that follows.

    The noise needs torch. It is measured in four forms of float16: every layer rounded, the same with batch norm in
    float32, the same folded, and the weights alone.

    Examples:

    `caffezoo precision scan open-nsfw`

    `caffezoo precision scan keras-resnet50 --seeded --data-statistics --low -128 --high 128`

    `caffezoo precision scan deploy.prototxt --weights net.caffemodel --data images/ --mean 104 117 123`
    """
    from caffezoo.precision.data_statistics import with_data_statistics
    from caffezoo.precision.layer_noise import form_noise
    from caffezoo.precision.scan import scan as scan_network

    if samples < 0 or top < 0 or (data_statistics and not samples):
        raise UsageError("--samples and --top are 0 or more; --data-statistics needs samples")
    if not low < high:
        raise UsageError(f"--low {low:g} is not below --high {high:g}")
    network = _open(arguments, seeded, None if data_statistics else (low, high))
    batches = _batches(network, arguments, data, mean, std, samples, low, high) if samples else []
    if data_statistics:
        network = with_data_statistics(network, _joined(batches))
    findings = scan_network(network)
    noise = form_noise(network, batches) if samples else []
    if as_json:
        record = {"findings": [asdict(f) for f in findings], "noise": [_noise_json(n) for n in noise]}
        print(json.dumps({**record, "notes": list(network.notes)}))
        return
    _print_findings(findings)
    for form in noise:
        _print_noise(form, top)


@takes_network()
def layers(
    arguments: NetworkArguments,
    calibration: Annotated[str, typer.Option(metavar="DIR|sample", help="Images to calibrate and measure on.")],
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png|FILE.svg", help="Draw the layers' noise, in the network's order.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line with a JSON object instead.")] = False,
) -> None:
    """Quantise a network and list the noise that 8 bits add to every layer by itself, the noisiest first.

    Examples:

    `caffezoo precision layers efficientnet-lite0 --calibration images/ --plot noise.png`
    """
    from caffezoo.cli.text_table import print_table
    from caffezoo.precision.quantisation import calibration_files
    from caffezoo.precision.session import Quantiser, Setup

    if plot is not None:
        from caffezoo.report.figure import check_ending

        check_ending(plot)
    recipe = recipes.make_recipe(arguments, asked=recipes.ask(mean=mean, std=std))
    quantiser = Quantiser(recipe, Setup(), calibration_files(calibration))
    made = quantiser.quantise()
    noise = quantiser.noise()
    if as_json:
        record: dict[str, Any] = {"network": recipe.name, "bytes": made.bytes, "file": str(made.file)}
        print(json.dumps({**record, "layers": [asdict(layer) for layer in noise]}))
    else:
        print_table(
            ("layer", "signal to noise (dB)"), [(x.layer, _decibel(x.decibel)) for x in noise], {"signal to noise (dB)"}
        )
        print(
            f"\nquantised    {len(noise)} layers on {len(quantiser.images)} images, {made.bytes:,} bytes: {made.file}"
        )
    if plot is not None:
        from caffezoo.precision.noise_plot import noise_figure
        from caffezoo.report.figure import save

        order = [node.name for node in quantiser.network.nodes]
        save(noise_figure(noise, order, recipe.name), plot)
        print(f"wrote {plot}")


def _open(arguments: NetworkArguments, seeded: bool, inputs: tuple[float, float] | None) -> Network:
    """Return the network; seeded weights fit the range of the inputs, or -2..2 where batch norm is to see the rest."""
    if not seeded:
        return arguments.open_with_weights()
    if arguments.weights is not None:
        raise UsageError("--seeded and --weights exclude each other")
    from caffezoo.engines.seeding import seeded_weights

    network = arguments.open()
    low, high = inputs or (-2.0, 2.0)
    return network.with_weights(seeded_weights(network, low=low, high=high)[0])


def _batches(
    network: Network,
    arguments: NetworkArguments,
    data: str | None,
    mean: str | None,
    std: str | None,
    samples: int,
    low: float,
    high: float,
) -> list[Any]:
    """Return the inputs, one a batch: images as the network sees them, or drawn ones."""
    from caffezoo.engines.seeding import seeded_inputs

    if data is None:
        return [dict(seeded_inputs(network, i, batch=1, low=low, high=high)) for i in range(samples)]
    from caffezoo.precision.quantisation import CalibrationImages, calibration_files

    protocol = recipes.input_protocol(arguments, network, recipes.ask(mean=mean, std=std))
    blob = next(name for name, shape in network.inputs.items() if len(shape) == 4)
    return list(CalibrationImages(calibration_files(data)[:samples], protocol, blob))


def _joined(batches: list[Any]) -> dict[str, Any]:
    import numpy as np

    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _print_findings(findings: list[Finding]) -> None:
    for form in ("as published", "folded"):
        found = [f for f in findings if f.form == form]
        print(f"{form}: " + (f"{len(found)} findings" if found else "float16 holds every value"))
        for finding in found:
            print(f"  {finding}")


def _print_noise(noise: FormNoise, top: int) -> None:
    print(f"\n{noise.form}: answer differs on {noise.top1_differs} of {noise.samples}, scores by {noise.largest:.3g}")
    for blob in noise.worst()[:top]:
        print(f"  {_decibel(blob.decibel):>7} dB  {blob.blob}  ({', '.join(blob.layers)})")


def _noise_json(noise: FormNoise) -> dict[str, Any]:
    record = asdict(noise)
    for blob in record["blobs"]:
        blob["decibel"] = blob["decibel"] if math.isfinite(blob["decibel"]) else str(blob["decibel"])
    record["largest"] = noise.largest if math.isfinite(noise.largest) else str(noise.largest)
    return record


def _decibel(value: float) -> str:
    return f"{value:.1f}"
