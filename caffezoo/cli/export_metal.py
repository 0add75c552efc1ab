"""The .dat files of ``caffezoo export``: written, compared, and predicted with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caffezoo.cli.network_arguments import NetworkArguments
from caffezoo.cli.recipes import input_protocol
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.evaluation.asked import Asked
    from caffezoo.net.graph import Network


def export_metal_files(
    arguments: NetworkArguments,
    network: Network,
    metal: Path | None,
    compare: Path | None,
    inception3: bool,
    tolerance: float,
    predictions: Path | None,
    data: str | None,
    asked: Asked,
) -> None:
    """Write and compare a network's .dat files; exit 1 where they differ by more than the tolerance."""
    from caffezoo.net.exports.inception3 import inception3_names
    from caffezoo.net.exports.metal import compare_metal, export_metal
    from caffezoo.net.folding import fold

    folded = fold(network).network
    names = inception3_names(folded) if inception3 else None
    if predictions is not None:
        _predict(arguments, network, folded, names, compare, predictions, data, asked)
    beyond = missing = count = 0
    if compare is not None:
        for delta in compare_metal(folded, compare, names):
            print(delta)
            count += 1
            missing += delta.weights is None
            beyond += not delta.largest <= tolerance
        same = f"{count - missing - beyond} of {count} layers within {tolerance:g}"
        print(f"compared     {same}" + (f", {missing} not in {compare}" if missing else ""))
    if metal is not None:
        files = export_metal(folded, metal, names)
        if compare is None:
            for delta in compare_metal(folded, metal, names):  # read back: what lies there is what was meant
                print(delta)
                beyond += delta.weights is None or delta.largest > 0
        print(f"wrote {metal} ({sum(f.stat().st_size for f in files):,} bytes): {len(files)} files")
    if beyond or (missing and missing == count):
        raise typer.Exit(1)


def analyse_predictions(file: Path, as_json: bool) -> None:
    """Print how the models of a file of predictions disagree."""
    from dataclasses import asdict

    from caffezoo.evaluation.predictions import disagreements, read_predictions

    for found in disagreements(read_predictions(file)):
        if as_json:
            print(json.dumps(asdict(found)))
            continue
        print(
            f"[{found.model}] against [T]  top-1 differs on {found.top1} of {found.images}"
            f" ({100 * found.top1 / found.images:.1f} %), top-1 not in the five on {found.top5}"
            f" ({100 * found.top5 / found.images:.1f} %)"
        )


def _predict(
    arguments: NetworkArguments,
    network: Network,
    folded: Network,
    names: tuple[str, ...] | None,
    compare: Path | None,
    predictions: Path,
    data: str | None,
    asked: Asked,
) -> None:
    """Write a file of predictions: the network, its folded form, and the weights of the compared folder."""
    from caffezoo.engines.registry import DEFAULT_ENGINE, create_engine
    from caffezoo.evaluation.predictions import best, prediction_lines
    from caffezoo.formats.caffemodel_writer import replacing
    from caffezoo.net.exports.metal import read_metal
    from caffezoo.net.scores import with_scores
    from caffezoo.precision.quantisation import CalibrationImages, calibration_files

    if data is None or compare is None:
        raise UsageError("--predictions FILE wants --data DIR, and --compare DIR for its third model")
    protocol = input_protocol(arguments, network, asked)
    models = (network, folded, read_metal(folded, compare, names))
    images = CalibrationImages(calibration_files(data), protocol, next(iter(network.inputs)))
    engines = []
    try:
        for model in models:
            scored, head = with_scores(model.reshaped(batch=1), None)
            engines.append((create_engine(DEFAULT_ENGINE, scored, outputs=[head.blob]), head.blob))
        lines = []
        for file, batch in zip(images.files, images, strict=True):
            rows = [engine.run(batch)[blob].reshape(-1) for engine, blob in engines]
            lines += prediction_lines(file.stem, [best(row) for row in rows])
    finally:
        for engine, _ in engines:
            engine.close()
    with replacing(str(predictions)) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"wrote {predictions} ({len(images.files)} images)")
    analyse_predictions(predictions, False)
