"""What differs between two measurements, or between a measurement and what was published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from caffezoo.errors import UsageError
from caffezoo.report.published import Record, by_setting, error_percent, sizes, time_rows
from caffezoo.report.rows import AccuracyRow, Measured, PrecisionRow, SpeedRow, TimeRow

ACCURACY_TOLERANCE = 0.1
"""Percentage points that an error may differ."""

TIME_TOLERANCE = 10.0
"""Percent that a time may differ."""

_QUANTITIES: dict[type[Measured], tuple[str, ...]] = {
    AccuracyRow: ("top1_error", "top5_error"),
    TimeRow: ("forward_ms", "backward_ms"),
    SpeedRow: ("milliseconds",),
    PrecisionRow: ("top1_error", "top5_error", "agreement"),
}
_RESULT = {
    *("run", "date", "session", "command", "note", "seconds", "images_per_second", "iterations", "memory_peak_bytes"),
    *("spread_ms", "lowest_block_ms", "highest_block_ms", "calls", "blocks"),
    *("top1_difference", "top1_p", "top5_difference", "top5_p", "largest_score_difference"),
}
_INTERVAL_ENDS = ("_low", "_high", "_spread_ms")


@dataclass(frozen=True)
class Difference:
    """One quantity, twice.

    Attributes
    ----------
    network, quantity, first_name, second_name : str
    first, second : float
        Percent for errors, ms for times.
    difference : float
        ``second - first``: in percentage points for errors, in percent of ``first`` for times.
    tolerance : float
        In the same unit.
    """

    network: str
    quantity: str
    first_name: str
    second_name: str
    first: float
    second: float
    tolerance: float

    @property
    def is_time(self) -> bool:
        """Whether the quantity is a time in ms."""
        return self.quantity.endswith("_ms") or self.quantity == "milliseconds"

    @property
    def difference(self) -> float:
        change = self.second - self.first
        return 100 * change / self.first if self.is_time else change

    @property
    def within(self) -> bool:
        # Published errors have two decimals: what is equal to the tolerance but for binary fractions is within it.
        return abs(self.difference) <= self.tolerance + 1e-9


def compare_rows(first: Measured, second: Measured, tolerance: float | None = None) -> list[Difference]:
    """Compare two rows of the same table.

    Raises
    ------
    UsageError
        Rows of two tables, or of one that holds nothing to compare.
    """
    if type(first) is not type(second):
        raise UsageError(f"run {first.run} is in {first.file} and run {second.run} in {second.file}: not comparable")
    network = first.network if first.network == second.network else f"{first.network} / {second.network}"
    return [
        Difference(network, name, f"run {first.run}", f"run {second.run}", a, b, _tolerance(first, tolerance))
        for name in _QUANTITIES[type(first)]
        if (a := getattr(first, name)) is not None and (b := getattr(second, name)) is not None
    ]


def settings_that_differ(first: Measured, second: Measured) -> list[tuple[str, str, str]]:
    """Return (column, first, second) of every cell that is no result of the measurement and differs."""
    results = _RESULT | set(_QUANTITIES[type(first)])
    a, b = first.model_dump(), second.model_dump()
    return [
        (name, str(a[name]), str(b.get(name)))
        for name in a
        if name not in results and not name.endswith(_INTERVAL_ENDS) and a[name] != b.get(name)
    ]


def compare_published(row: Measured, record: Record, tolerance: float | None = None) -> list[Difference]:
    """Compare a row with the published figures of the same network at the same setting.

    An error compares only if it was measured on the 50,000 validation images with the published preprocessing, and
    only with the source that the accuracy table shows (others may have published other weights' errors); a time only
    at the same crop and batch size. Times say nothing without their devices: the names carry them.

    Returns
    -------
    list of Difference
        Empty where nothing comparable was published.
    """
    if isinstance(row, AccuracyRow):
        return list(_published_errors(row, record, _tolerance(row, tolerance)))
    if not isinstance(row, TimeRow):
        return []
    return list(_published_times(row, record, _tolerance(row, tolerance)))


def is_validation_error(row: AccuracyRow, record: Record) -> bool:
    """Tell whether a row is of all 50,000 validation images with the index's preprocessing, in float32.

    By a published protocol and the images' own labels, not by several scales, other decoders or ReaL's labels.
    """
    published = record["preprocessing"]
    return (
        (row.images, row.unreadable, row.classes, row.precision) == (50000, 0, 1000, "float32")
        and _floats(row.mean) == tuple(map(float, published["mean"]))
        and _floats(row.std) == tuple(map(float, published["std"]))
        and row.resize == published.get("resize", "short")
        and row.protocol_name == row.published_protocol
        and row.labels in (None, "2012", "2015")
        and row.class_subset is None
    )


def measured_setting(row: AccuracyRow, record: Record, preset: str, crops: int) -> bool:
    """Tell whether a row has a preset's sizes and so many crops."""
    wanted = sizes(record, preset)
    return wanted is not None and (row.base_size, row.crop_size, row.crops) == (
        wanted["base_size"],
        wanted["crop_size"],
        crops,
    )


def _published_errors(row: AccuracyRow, record: Record, tolerance: float) -> Iterator[Difference]:
    if not is_validation_error(row, record):
        return
    for setting, published in by_setting(record)[0].items():
        if not measured_setting(row, record, setting.preset, setting.crops):
            continue
        for top in (1, 5):
            error, own = error_percent(published, top), getattr(row, f"top{top}_error")
            if error is not None and own is not None:
                names = f"published ({published['source']}, {setting})", f"run {row.run}"
                yield Difference(row.network, f"top{top}_error", *names, error, own, tolerance)


def _published_times(row: TimeRow, record: Record, tolerance: float) -> Iterator[Difference]:
    for published in time_rows(record):
        if (published.get("batch", 1), published.get("crop_size")) != (row.batch_size, row.crop_size):
            continue
        for name in _QUANTITIES[TimeRow]:
            theirs, own = published.get(name), getattr(row, name)
            if theirs is not None and own is not None:
                names = f"published ({published['source']}, {published['device']})", f"run {row.run} ({row.device})"
                yield Difference(row.network, name, *names, theirs, own, tolerance)


def _tolerance(row: Measured, asked: float | None) -> float:
    if asked is not None:
        return asked
    return TIME_TOLERANCE if isinstance(row, TimeRow | SpeedRow) else ACCURACY_TOLERANCE


def _floats(triple: str) -> tuple[float, ...]:
    return tuple(map(float, triple.split()))
