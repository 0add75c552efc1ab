"""The store held against itself and against the index."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caffezoo.errors import ResultsError, UnknownNameError
from caffezoo.report.rows import AccuracyRow, LayerRow, TimeRow
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
    """Read all files; find broken lines, rows of unknown networks, twice-held runs and layers of no run.

    A prototxt that has changed since it was measured is a note, not a fault.
    """
    faults: list[str] = []
    notes: list[str] = []
    good = 0
    runs: set[str] = set()
    kinds: tuple[type[AccuracyRow] | type[TimeRow], ...] = (AccuracyRow, TimeRow)
    for kind in kinds:
        for where, row in _good_rows(store, kind, faults):
            fault = _fault(row, index, runs, where)
            runs.add(row.run)
            if fault:
                faults.append(fault)
            else:
                good += 1
                notes += _notes(row, index, where)
    for where, layer in _good_rows(store, LayerRow, faults):
        if layer.run in runs:
            good += 1
        else:
            faults.append(f"{where}: run {layer.run} of this layer is not in time.csv")
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


def _fault(row: AccuracyRow | TimeRow, index: Index, runs: set[str], where: str) -> str | None:
    if row.run in runs:
        return f"{where}: holds run {row.run} a second time"
    try:
        index.resolve(row.network)
    except UnknownNameError as error:
        return f"{where}: network: {error}"
    return None


def _notes(row: AccuracyRow | TimeRow, index: Index, where: str) -> list[str]:
    prototxt = data_root() / str(index.record(row.network)["prototxt"])
    if _sha256(prototxt) == row.prototxt_sha256:
        return []
    return [f"{where}: the prototxt of {row.network} has changed since"]


@cache
def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
