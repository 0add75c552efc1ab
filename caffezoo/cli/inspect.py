"""``caffezoo inspect``: what a file of weights, a mean, a solver's state or arrays holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli.console import say, shown

if TYPE_CHECKING:
    from caffezoo.formats.any_file import AnyFile
    from caffezoo.formats.blob_statistics import BlobStatistics

Found = list[tuple[str, str, list["BlobStatistics"]]]


def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Weights, means, solver states, arrays.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a line with a JSON object a file instead.")] = False,
) -> None:
    """Look into caffemodels, HDF5 files, mean images, solver states, npy and npz files.

    Says every blob's shape, range, zeros and what is no number, what wrote a caffemodel, and whether its batch norms
    look merged. The exit status is 1 where a value is NaN or infinite.

    Examples:

    `caffezoo inspect net.caffemodel`

    `caffezoo inspect mean.binaryproto net_iter_1000.solverstate --json`
    """
    from caffezoo.formats.any_file import read_any
    from caffezoo.formats.blob_statistics import blob_statistics

    good = True
    for number, path in enumerate(files):
        file = read_any(path)
        found = [(x.name, x.type, [blob_statistics(b.data) for b in x.blobs]) for x in file.layers]
        for warning in file.warnings:
            say("warning", warning)
        if as_json:
            print(json.dumps(_record(file, found)))
        else:
            if number:
                print()
            _print(file, found)
        good &= all(blob.finite for _, _, blobs in found for blob in blobs)
    if not good:
        raise typer.Exit(1)


def _print(file: AnyFile, found: Found) -> None:
    from caffezoo.cli.text_table import print_table

    rows = []
    for name, kind, blobs in found:
        for i, blob in enumerate(blobs):
            numbers = ("" if v is None else f"{v:.5g}" for v in (blob.min, blob.max, blob.mean, blob.std))
            zeros = f"{100 * blob.zeros / blob.values:.1f}" if blob.values else ""
            bad = str(blob.nans + blob.infinities) if not blob.finite else ""
            shape = "x".join(map(str, blob.shape)) or "scalar"
            rows.append((name, kind, str(i) if len(blobs) > 1 or kind else "", shape, *numbers, zeros, bad))
    right = ("min", "max", "mean", "std", "zeros %", "NaN, inf")
    if rows:
        print_table(("layer", "type", "blob", "shape", *right), rows, right=right)
        print()
    values = sum(blob.values for _, _, blobs in found for blob in blobs)
    unfit = sum(blob.nans + blob.infinities for _, _, blobs in found for blob in blobs)
    print(f"file         {shown(file.path)}: {file.kind}, {file.bytes:,} bytes")
    print(f"values       {values:,} in {len(rows)} arrays of {sum(1 for _, _, b in found if b)} layers")
    for label, text in file.facts:
        print(f"{label:<12} {shown(text)}")
    print(f"not finite   {unfit:,}" if unfit else "not finite   none")


def _record(file: AnyFile, found: Found) -> dict[str, Any]:
    layers = [
        {"name": name, "type": kind, "blobs": [{**asdict(blob), "shape": list(blob.shape)} for blob in blobs]}
        for name, kind, blobs in found
    ]
    return {
        "file": file.path,
        "kind": file.kind,
        "bytes": file.bytes,
        "values": sum(blob.values for _, _, blobs in found for blob in blobs),
        **{label.replace(" ", "_"): text for label, text in file.facts},
        "layers": layers,
        "notes": list(file.warnings),
    }
