"""JSON records of measurements, turned into rows of the store.

``caffezoo evaluate --json`` prints the first kind. A record of times is an object with the columns of ``time.csv`` by
name, but ``sha256`` ({"prototxt", "weights"}) and ``versions`` as objects, and optionally ``layers``: a list of objects
with ``layer``, ``layer_type``, ``forward_ms`` and ``backward_ms``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from caffezoo.errors import ResultsError
from caffezoo.report.provenance import without_home
from caffezoo.report.rows import AccuracyRow, LayerRow, Row, TimeRow

Record = Mapping[str, Any]

MAX_RECORD_BYTES = 64 * 2**20
_SAME = (
    "network date images classes engine device cpu precision threads batch_size images_per_second seconds command"
).split()
_PROTOCOL = "crops base_size crop_size resize mean std channel_order decoder resizer".split()
_TIME = tuple(
    name for name in TimeRow.model_fields if name not in ("run", "prototxt_sha256", "weights_sha256", "versions")
)


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
        return [_accuracy_row(record, where)]
    if "forward_ms" in record or "backward_ms" in record:
        return _time_rows(record, where)
    raise ResultsError(
        "is no record of an evaluation (top1_error) or of times (forward_ms)",
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
        values[name] = " ".join(
            f"{v:.10g}" if isinstance(v, float) else str(v) for v in _part(protocol, name, list, where)
        )
    for name in ("prototxt", "weights", "label_list", "images"):
        values[f"{name}_sha256"] = sha256.get(name)
    for name in ("data", "label_list"):
        values[name] = _named(record.get(name))
    values["unreadable"] = len(_part(record, "unreadable", list, where))
    values["versions"] = _pairs(record, where)
    values["note"] = record.get("note")
    return AccuracyRow.make(_given(values), where)


def _time_rows(record: Record, where: str) -> list[Row]:
    sha256 = _part(record, "sha256", dict, where)
    values = {name: record.get(name) for name in _TIME}
    values |= {f"{name}_sha256": sha256.get(name) for name in ("prototxt", "weights")}
    whole = TimeRow.make(_given({**values, "versions": _pairs(record, where)}), where)
    rows: list[Row] = [whole]
    layers = _part(record, "layers", list, where) if record.get("layers") is not None else []
    for position, layer in enumerate(layers):
        place = f"{where}: layers[{position}]"
        if not isinstance(layer, dict):
            raise ResultsError("must be an object", where=place)
        rows.append(LayerRow.make({"run": whole.run, "position": position, **_given(layer)}, place))
    return rows


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


def _pairs(record: Record, where: str) -> str:
    versions = _part(record, "versions", dict, where)
    return " ".join(f"{name}={''.join(str(version).split())}" for name, version in versions.items())


def _given(values: Record) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _named(path: Any) -> Any:
    """A path as it can be published: the name alone of what lies outside the current folder."""
    if not isinstance(path, str) or not os.path.isabs(path):
        return path
    return os.path.basename(path.rstrip("/")) or without_home(path)
