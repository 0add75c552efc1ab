"""JSON records of measurements, turned into rows of the store.

``caffezoo evaluate --json`` prints the first kind; its ``confusion`` is a list of [label, guess, images]. A record of
times is an object with the columns of ``time.csv`` by name, but ``sha256`` ({"prototxt", "weights"}) and ``versions``
as objects, and optionally ``layers``: a list of objects with ``layer``, ``layer_type``, ``forward_ms`` and
``backward_ms``. A record of a training likewise has the columns of ``training.csv``, and ``curve``: a list of objects
with the columns of ``training_curve.csv``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from caffezoo.errors import ResultsError
from caffezoo.report.details import ConfusionRow, CurveRow, Detail, LayerRow
from caffezoo.report.provenance import without_home
from caffezoo.report.row import Row
from caffezoo.report.rows import AccuracyRow, Measured, TimeRow, TrainingRow

Record = Mapping[str, Any]

MAX_RECORD_BYTES = 64 * 2**20
_SAME = (
    "network date images classes engine device cpu precision threads batch_size images_per_second seconds command"
).split()
_PROTOCOL = "crops base_size crop_size resize mean std channel_order decoder resizer".split()
_HASHES = ("prototxt", "weights", "log")
OWN_LABELS = "labels"
"""What an evaluation calls the data's own label set."""

AnyMeasured = TypeVar("AnyMeasured", bound=Measured)


def parse_records(text: str, where: str) -> list[Row]:
    """Return the rows of JSON lines, one record a line.

    Raises
    ------
    ResultsError
        A line is no record; names it. Nothing is returned for the good ones.
    """
    if len(text) > MAX_RECORD_BYTES:
        raise ResultsError(f"is larger than {MAX_RECORD_BYTES >> 20} MiB", where=where)
    rows: list[Row] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            rows += record_rows(_object(line, f"{where}:{number}"), f"{where}:{number}")
    if not rows:
        raise ResultsError("holds no record", where=where, hint="`caffezoo evaluate ... --json` prints one")
    return rows


def record_rows(record: Record, where: str) -> list[Row]:
    """Return the rows of one record.

    Raises
    ------
    ResultsError
        It is no record of an evaluation or of times, or lacks something.
    """
    if "top1_error" in record:
        return _with_details(_accuracy_row(record, where), record, "confusion", ConfusionRow, where)
    if "forward_ms" in record or "backward_ms" in record:
        return _with_details(_row(record, TimeRow, where), record, "layers", LayerRow, where)
    if "curve" in record:
        return _with_details(_row(record, TrainingRow, where), record, "curve", CurveRow, where)
    raise ResultsError(
        "is no record of an evaluation (top1_error), of times (forward_ms) or of a training (curve)",
        where=where,
        hint="`caffezoo evaluate ... --json` prints one",
    )


def _accuracy_row(record: Record, where: str) -> AccuracyRow:
    if record.get("interrupted"):
        raise ResultsError(
            f"is of an interrupted run: {record.get('images')} of {record.get('total')} images",
            where=where,
            hint="the store keeps whole runs, because the hash of the images is that of the whole list",
        )
    protocol, sha256 = _part(record, "protocol", dict, where), _part(record, "sha256", dict, where)
    values = {name: record.get(name) for name in _SAME} | {name: protocol.get(name) for name in _PROTOCOL}
    for top in (1, 5):
        values[f"top{top}_error"] = record.get(f"top{top}_error")
        low_high = record.get(f"top{top}_interval")
        if low_high is not None:
            if not (isinstance(low_high, list) and len(low_high) == 2):
                raise ResultsError(f"top{top}_interval: must be two numbers", where=where)
            values[f"top{top}_low"], values[f"top{top}_high"] = low_high
    for name in ("mean", "std"):
        values[name] = levels_text(_part(protocol, name, list, where))
    for name in ("prototxt", "weights", "label_list", "images"):
        values[f"{name}_sha256"] = sha256.get(name)
    for name in ("data", "label_list"):
        values[name] = publishable(record.get(name))
    values["unreadable"] = len(_part(record, "unreadable", list, where))
    values["versions"] = _pairs(record, where)
    values["note"] = record.get("note")
    values["protocol"] = protocol.get("name")
    sets = record.get("label_sets") or [{}]
    values["labels"] = None if sets[0].get("name") == OWN_LABELS else publishable(sets[0].get("name"))
    values["class_subset"] = record.get("class_subset")
    return AccuracyRow.make(_given(values), where)


def _row(record: Record, kind: type[AnyMeasured], where: str) -> AnyMeasured:
    """A row whose columns are the record's keys, but for hashes and versions."""
    hashes = [f"{name}_sha256" for name in _HASHES]
    values = {name: record.get(name) for name in kind.model_fields if name not in ("run", "versions", *hashes)}
    sha256 = _part(record, "sha256", dict, where)
    values |= {key: sha256.get(name) for name, key in zip(_HASHES, hashes, strict=True) if key in kind.model_fields}
    return kind.make(_given({**values, "versions": _pairs(record, where)}), where)


def _with_details(whole: Measured, record: Record, part: str, kind: type[Detail], where: str) -> list[Row]:
    """A run's row, and behind it those of its details."""
    rows: list[Row] = [whole]
    for position, detail in enumerate(_part(record, part, list, where) if record.get(part) is not None else []):
        place = f"{where}: {part}[{position}]"
        rows.append(kind.make({"run": whole.run, **_given(_detail(detail, kind, position, place))}, place))
    return rows


def _detail(detail: Any, kind: type[Detail], position: int, where: str) -> Record:
    if kind is ConfusionRow:
        if not (isinstance(detail, list) and len(detail) == 3):
            raise ResultsError("must be label, guess and images", where=where)
        return dict(zip(("label", "guess", "images"), detail, strict=True))
    if not isinstance(detail, dict):
        raise ResultsError("must be an object", where=where)
    return {"position": position, **detail} if kind is LayerRow else detail


def _object(line: str, where: str) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise ResultsError("is not JSON", where=where) from None
    if not isinstance(record, dict):
        raise ResultsError("is not a JSON object", where=where)
    return record


def _part(record: Record, name: str, kind: type, where: str) -> Any:
    value = record.get(name)
    if not isinstance(value, kind):
        missing = "is missing" if value is None else f"must be {'a list' if kind is list else 'an object'}"
        raise ResultsError(f"{name}: {missing}", where=where)
    return value


def _pairs(record: Record, where: str) -> str | None:
    versions = _part(record, "versions", dict, where)
    return " ".join(f"{name}={''.join(str(version).split())}" for name, version in versions.items()) or None


def _given(values: Record) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def levels_text(values: Iterable[Any]) -> str:
    """Return a mean or std as a cell holds it."""
    return " ".join(f"{v:.10g}" if isinstance(v, float) else str(v) for v in values)


def publishable(path: Any) -> Any:
    """Return a path as it can be published: the name alone of what lies outside the current folder."""
    if not isinstance(path, str) or not os.path.isabs(path):
        return path
    return os.path.basename(path.rstrip("/")) or without_home(path)
