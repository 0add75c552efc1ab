"""The columns of ``caffezoo list``: what each says of a network, from the index's plain data and the computed costs.

Plain data, because building the entries' models costs more time than the whole command may take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from caffezoo.report.published import error_percent, headline

Record = Mapping[str, Any]
Cost = Mapping[str, int] | None
Value = float | int | str | None

DEFAULT = (
    "name",
    "family",
    "task",
    "top1",
    "top5",
    "params",
    "gmacs",
    "activations",
    "size",
    "crop",
    "labels",
    "weights",
)
_STATES = ("available", "unknown", "reported-dead", "never-published")


@dataclass(frozen=True)
class Column:
    """One column: its title with the unit, and its value for a network."""

    title: str
    value: Callable[[str, Record, Cost], Value]
    decimals: int | None = None
    computed: bool = False


def _published(top: int, crops: int, large: bool = False) -> Callable[[str, Record, Cost], Value]:
    """The first row at so many crops and at the small or large crop size."""

    def value(name: str, record: Record, cost: Cost) -> Value:
        preset = record["preprocessing"].get("large" if large else "small") or {}
        for row in (record.get("published") or {}).get("accuracy") or ():
            if row.get("crops") == crops and row.get("crop_size") == preset.get("crop_size"):
                return error_percent(row, top)
        return None

    return value


def _time(key: str) -> Callable[[str, Record, Cost], Value]:
    def value(name: str, record: Record, cost: Cost) -> Value:
        crop = record["preprocessing"]["small"]["crop_size"]
        for row in (record.get("published") or {}).get("time") or ():
            if row.get("batch", 1) == 1 and row.get("crop_size") == crop and key in row:
                return float(row[key])
        return None

    return value


def _cost(key: str, unit: float) -> Callable[[str, Record, Cost], Value]:
    return lambda name, record, cost: None if cost is None else cost[key] / unit


def _large(key: str) -> Callable[[str, Record, Cost], Value]:
    return lambda name, record, cost: (record["preprocessing"].get("large") or {}).get(key)


def _best_state(name: str, record: Record, cost: Cost) -> str:
    states = [w["state"] for w in record.get("weights") or () if w.get("training", "same") != "other"]
    return min(states, key=_STATES.index, default="none")


COLUMNS: dict[str, Column] = {
    "name": Column("network", lambda name, record, cost: name),
    "family": Column("family", lambda name, record, cost: record["family"]),
    "task": Column("task", lambda name, record, cost: record.get("task", "classification")),
    "aliases": Column("aliases", lambda name, record, cost: " ".join(record.get("aliases") or ())),
    "top1": Column("top-1 %", lambda name, record, cost: error_percent(headline(record), 1), 2),
    "top5": Column("top-5 %", lambda name, record, cost: error_percent(headline(record), 5), 2),
    "top1_12": Column("12-crop top-1 %", _published(1, 12), 2),
    "top5_12": Column("12-crop top-5 %", _published(5, 12), 2),
    "top1_large": Column("large top-1 %", _published(1, 1, large=True), 2),
    "top5_large": Column("large top-5 %", _published(5, 1, large=True), 2),
    "params": Column("params M", _cost("parameters", 1e6), 3, computed=True),
    "gmacs": Column("GMACs", _cost("macs", 1e9), 3, computed=True),
    "activations": Column("activ. M", _cost("activations", 1e6), 2, computed=True),
    "size": Column("size MiB", _cost("blob_elements", 2**20 / 4), 1, computed=True),
    "base": Column("base px", lambda name, record, cost: record["preprocessing"]["small"]["base_size"]),
    "crop": Column("crop px", lambda name, record, cost: record["preprocessing"]["small"]["crop_size"]),
    "large_base": Column("large base px", _large("base_size")),
    "large_crop": Column("large crop px", _large("crop_size")),
    "mean": Column("mean BGR", lambda name, record, cost: " ".join(map(str, record["preprocessing"]["mean"]))),
    "std": Column("std BGR", lambda name, record, cost: " ".join(map(str, record["preprocessing"]["std"]))),
    "resize": Column("resize", lambda name, record, cost: record["preprocessing"].get("resize", "short")),
    "labels": Column("labels", lambda name, record, cost: str(record["labels"]["order"])),
    "classes": Column("classes", lambda name, record, cost: record["labels"]["classes"]),
    "weights": Column("weights", _best_state),
    "sources": Column("sources", lambda name, record, cost: len(record.get("weights") or ())),
    "forward_ms": Column("forward ms", _time("forward_ms"), 2),
    "backward_ms": Column("backward ms", _time("backward_ms"), 2),
    "origin": Column("origin", lambda name, record, cost: record["origin"]["project"]),
    "prototxt": Column("prototxt", lambda name, record, cost: record["prototxt"]),
}
