"""Published figures of a network, from the index's plain data.

Plain data, because building the entries' models takes longer than all the tables may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]

PRESETS = ("small", "large")
CROPS = (1, 12)


@dataclass(frozen=True)
class Setting:
    """A column of the published accuracy tables: sizes and number of crops."""

    preset: str
    crops: int

    def __str__(self) -> str:
        return f"{self.preset} {self.crops}-crop"


SETTINGS = tuple(Setting(preset, crops) for preset in PRESETS for crops in CROPS)


def accuracy_rows(record: Record) -> tuple[Record, ...]:
    """All published accuracies, in the order of the index."""
    return tuple((record.get("published") or {}).get("accuracy") or ())


def time_rows(record: Record) -> tuple[Record, ...]:
    """All published times, in the order of the index."""
    return tuple((record.get("published") or {}).get("time") or ())


def headline(record: Record) -> Record:
    """The published row that the entry's ``headline`` gives, as plain data; empty if there is none."""
    rows = accuracy_rows(record)
    return next((row for crops in (1, None) for row in rows if row.get("crops") == crops), {})


def error_percent(row: Record, top: int) -> float | None:
    """Top-1 or top-5 error of a published row, percent; from the accuracy where that was published."""
    error, accuracy = row.get(f"top{top}_error"), row.get(f"top{top}_accuracy")
    return round(100 - accuracy, 6) if error is None and accuracy is not None else error


def sizes(record: Record, preset: str) -> Record | None:
    """``base_size`` and ``crop_size`` in px of a preset, or None."""
    found: Record | None = record["preprocessing"].get(preset)
    return found


def fits(row: Record, record: Record, setting: Setting) -> bool:
    """Tell whether a published row is of a setting: so many crops at that crop size, and no other base size.

    Rows with a protocol of their own (another framework's port, another pooling) fit only if they state both sizes.
    """
    wanted = sizes(record, setting.preset)
    return (
        wanted is not None
        and row.get("crops") == setting.crops
        and row.get("crop_size") == wanted["crop_size"]
        and row.get("base_size") in (None, wanted["base_size"])
        and ("protocol" not in row or "base_size" in row)
    )


def by_setting(record: Record) -> tuple[dict[Setting, Record], str | None]:
    """The published rows of one source, by setting: that source which published most settings, the first of equals.

    One source a network, because figures of different sources were measured differently.

    Returns
    -------
    rows : dict of Setting to row
    source : str or None
        Its key in the index; None where nothing fits.
    """
    found: dict[str, dict[Setting, Record]] = {}
    for row in accuracy_rows(record):
        for setting in SETTINGS:
            if fits(row, record, setting):
                found.setdefault(row["source"], {}).setdefault(setting, row)
    if not found:
        return {}, None
    source = max(found, key=lambda key: len(found[key]))
    return found[source], source


def times_at(record: Record, preset: str, device: str) -> Iterator[Record]:
    """Published times of one image at a preset's crop size on devices whose name holds ``device``."""
    wanted = sizes(record, preset)
    if wanted is None:
        return
    for row in time_rows(record):
        same = row.get("batch", 1) == 1 and row.get("crop_size") == wanted["crop_size"]
        if same and device.casefold() in row["device"].casefold():
            yield row
