"""``caffezoo diff``: what differs between two networks, as text or as weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.cli.console import shown
from caffezoo.cli.network_arguments import tell_notes
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.formats.prototxt_diff import PrototxtDifference
    from caffezoo.formats.weights_diff import BlobDifference, WeightsDifference


def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A prototxt, or weights or arrays of any kind.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another of the same kind.")],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Values may differ by this share of a blob's largest one.")
    ] = 0.0,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Pass over fields of a prototxt that Caffe does not have.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line with a JSON object instead.")] = False,
) -> None:
    """Compare two prototxts layer by layer, or two files of weights value by value.

    Prototxts are compared as Caffe reads them: old forms are upgraded, a field that is left out is its default. Exit
    status 0: the same; 1: they differ.

    Examples:

    `caffezoo diff old.prototxt new.prototxt`

    `caffezoo diff net_iter_1000.caffemodel net_iter_2000.caffemodel --tolerance 1e-6`
    """
    texts = [path.suffix == ".prototxt" for path in (first, second)]
    if texts[0] != texts[1]:
        raise UsageError("a prototxt and a file of arrays have nothing to compare", hint="give two of one kind")
    same = _prototxts(first, second, lenient, as_json) if texts[0] else _weights(first, second, tolerance, as_json)
    if not same:
        raise typer.Exit(1)


def _prototxts(first: Path, second: Path, lenient: bool, as_json: bool) -> bool:
    from caffezoo.formats.prototxt import read_prototxt
    from caffezoo.formats.prototxt_diff import compare_prototxts

    a, b = (read_prototxt(path, lenient=lenient) for path in (first, second))
    tell_notes((*a.warnings, *b.warnings))
    found = compare_prototxts(a, b)
    if as_json:
        print(json.dumps({"same": found.same, **asdict(found)}))
    else:
        _print_prototxts(found, len(b.net.layer))
    return found.same


def _print_prototxts(found: PrototxtDifference, layers: int) -> None:
    for sign, only in (("-", found.only_first), ("+", found.only_second)):
        for name, kind in only:
            print(f"{sign} layer '{shown(name)}' ({shown(kind)})")
    for field in found.fields:
        where = f"layer '{shown(field.layer)}'" if field.layer else "the net"
        print(f"! {where}: {field.field} {shown(field.first) or '(none)'} -> {shown(field.second) or '(none)'}")
    for name in found.moved:
        print(f"~ layer '{shown(name)}' stands elsewhere")
    if found.same:
        print(f"the same network: {layers} layers")


def _weights(first: Path, second: Path, tolerance: float, as_json: bool) -> bool:
    from caffezoo.formats.any_file import read_any
    from caffezoo.formats.weights_diff import compare_layers

    a, b = read_any(first), read_any(second)
    tell_notes((*a.warnings, *b.warnings))
    found = compare_layers(a.layers, b.layers)
    if as_json:
        record = {"same": found.same(tolerance), "tolerance": tolerance, **asdict(found)}
        print(json.dumps(record, default=str))
    else:
        _print_weights(found, tolerance)
    return found.same(tolerance)


def _print_weights(found: WeightsDifference, tolerance: float) -> None:
    from caffezoo.cli.text_table import print_table

    for sign, only in (("-", found.only_first), ("+", found.only_second)):
        for name in only:
            print(f"{sign} layer '{shown(name)}'")
    for name, one, other in found.counts:
        print(f"! layer '{shown(name)}': {one} blobs -> {other}")
    rows = [_row(blob) for blob in found.blobs if not blob.within(tolerance)]
    right = ("largest difference", "of its largest value", "values")
    if rows:
        print_table(("layer", "blob", "shape", *right), rows, right=right)
    within = sum(blob.within(tolerance) for blob in found.blobs)
    exactly = sum(blob.differing == 0 for blob in found.blobs)
    layers = len({blob.layer for blob in found.blobs})
    exact = "" if not tolerance else f" to {tolerance:g} of their largest value, {exactly} of them exactly"
    print(f"{within} of {len(found.blobs)} blobs in {layers} layers that both have are the same{exact}")


def _row(blob: BlobDifference) -> tuple[str, ...]:
    a, b = ("x".join(map(str, shape)) or "scalar" for shape in blob.shapes)
    shape = a if a == b else f"{a} -> {b}"
    numbers = ("", "") if blob.largest is None else (f"{blob.largest:.4g}", f"{blob.relative:.3g}")
    return (blob.layer, str(blob.blob), shape, *numbers, f"{blob.differing:,}")
