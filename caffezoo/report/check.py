"""The store held against itself and against the index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caffezoo.errors import ResultsError
from caffezoo.report.details import DETAILS, ConfusionRow
from caffezoo.report.rows import MEASURED, AccuracyRow, Measured
from caffezoo.report.store import AnyRow, Store
from caffezoo.zoo.index import Index
from caffezoo.zoo.resources import data_root


@dataclass(frozen=True)
class Findings:
    """Result of a check: rows that cannot be, what is worth knowing of the others, and how many are good."""

    faults: tuple[str, ...]
    notes: tuple[str, ...]
    good: int


def check_store(store: Store, index: Index) -> Findings:
    """Read all files; find broken lines, twice-held runs and details of no run.

    What was taken for what must add up to the errors of its run. A network that the index has not, and a prototxt that
    has changed since it was measured, are notes, not faults.
    """
    faults: list[str] = []
    notes: list[str] = []
    good = 0
    runs: dict[str, Measured] = {}
    for kind in MEASURED:
        for where, row in _good_rows(store, kind, faults):
            if row.run in runs:
                faults.append(f"{where}: holds run {row.run} a second time")
                continue
            runs[row.run] = row
            good += 1
            notes += _notes(row, index, where)
    confused: dict[str, list[ConfusionRow]] = {}
    for part in DETAILS:
        for where, detail in _good_rows(store, part, faults):
            if isinstance(runs.get(detail.run), part.of):
                good += 1
            else:
                faults.append(f"{where}: run {detail.run} of this row is not in {part.of.file}")
            if isinstance(detail, ConfusionRow):
                confused.setdefault(detail.run, []).append(detail)
    for run, parts in confused.items():
        whole = runs.get(run)
        if isinstance(whole, AccuracyRow) and (fault := _sum_fault(whole, parts)):
            faults.append(f"{store.path(ConfusionRow)}: {fault}")
    return Findings(tuple(faults), tuple(notes), good)


def _good_rows(store: Store, kind: type[AnyRow], faults: list[str]) -> list[tuple[str, AnyRow]]:
    """Rows with their places; what is wrong with the others goes to ``faults``."""
    try:
        contents = store.read(kind)
    except ResultsError as error:
        faults.append(str(error))
        return []
    faults += map(str, contents.faults)
    return [(f"{store.path(kind)}:{line}", row) for line, row in zip(contents.lines, contents.rows, strict=True)]


def _notes(row: Measured, index: Index, where: str) -> list[str]:
    if row.network not in index:
        return [f"{where}: network '{row.network}' is not in the index, so no table shows it"]
    measured_with = getattr(row, "prototxt_sha256", None)
    prototxt = data_root() / str(index.record(row.network)["prototxt"])
    if measured_with in (None, _sha256(prototxt)):
        return []
    return [f"{where}: the prototxt of {row.network} has changed since"]


def _sum_fault(whole: AccuracyRow, parts: Iterable[ConfusionRow]) -> str | None:
    """What is wrong with the counts of a run, held against its error rate."""
    images, right = 0, 0
    for part in parts:
        images += part.images
        right += part.images if part.label == part.guess else 0
    if images != whole.images:
        return f"run {whole.run}: {images} images in all, but the run has {whole.images}"
    if abs(100 * (images - right) / images - whole.top1_error) > 1e-9:
        return f"run {whole.run}: {images - right} images taken for another class are not {whole.top1_error} %"
    return None


@cache
def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
