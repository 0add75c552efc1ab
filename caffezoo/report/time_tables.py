"""Tables of times: measured ones of ``time.csv`` beside published ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from caffezoo.formats.image_size import Size
from caffezoo.report.accuracy_tables import forward_backward
from caffezoo.report.published import PRESETS, Record, sizes, time_rows
from caffezoo.report.rows import TimeRow
from caffezoo.report.table import Cell, Column, Span, Table, cell, sentence
from caffezoo.report.time_series import setup
from caffezoo.report.zoo_data import ZooData


@dataclass(frozen=True, order=True)
class _Place:
    """Where a network stands in the index, its crop size in px and its batch: a line of the table."""

    position: int
    network: str
    crop_size: int | str
    batch_size: int


def time_table(data: ZooData) -> Table:
    """A line for each network, size and batch: what was measured in every engine, and what was published."""
    newest: dict[_Place, dict[str, TimeRow]] = {}
    published: dict[_Place, Record] = {}
    for position, (name, record) in enumerate(data.records.items()):
        for size in _preset_sizes(record):
            if row := _published_on_gpu(record, size):
                published[_Place(position, name, size, 1)] = row
    positions = {name: i for i, name in enumerate(data.records)}
    for own in data.time:
        place = _Place(positions[own.network], own.network, own.crop_size, own.batch_size)
        newest.setdefault(place, {})[setup(own)] = own
    columns = _setups(newest.values())
    batches = any(place.batch_size != 1 for place in newest)
    rows = [
        (
            cell(place.network),
            cell(place.crop_size),
            *([cell(place.batch_size)] if batches else []),
            *(_own(newest.get(place, {}).get(key)) for key in columns),
            forward_backward(published.get(place)),
            cell(published[place]["source"] if place in published else None),
        )
        for place in sorted(newest.keys() | published.keys())
    ]
    titles = [Column("network"), Column("px", number=True), *([Column("batch", number=True)] if batches else [])]
    return Table(
        "time",
        "Forward, or forward/backward, time of a batch in ms. In italics: measured with this package, medians; the "
        "others are published."
        if columns
        else "Published forward/backward time of one image in ms. No times measured with this package yet.",
        (
            *titles,
            *(Column(title, number=True) for title, _ in columns.values()),
            Column("published", number=True),
            Column("source"),
        ),
        tuple(rows),
        (
            *(sentence([f"{title}: {said}."]) for title, said in columns.values()),
            *_published_devices(published.values()),
            *data.source_note([row["source"] for row in published.values()]),
        ),
    )


def timed_runs_table(data: ZooData) -> Table:
    """A line for each measurement, the newest of each setting, with its spread, memory and circumstances."""
    newest = {(r.network, r.crop_size, r.batch_size, setup(r)): r for r in data.time}
    order = list(data.records)
    rows = []
    for row in sorted(newest.values(), key=lambda r: (order.index(r.network), Size.of(r.crop_size), r.batch_size)):
        rows.append(
            (
                cell(row.network),
                cell(row.crop_size),
                cell(row.batch_size),
                _with_spread(row.forward_ms, row.forward_spread_ms),
                _with_spread(row.backward_ms, row.backward_spread_ms),
                cell(None if row.memory_peak_bytes is None else row.memory_peak_bytes / 2**20, 0),
                cell(setup(row)),
                cell(row.date[:10]),
            )
        )
    titles = "network|crop px|batch|forward ms|backward ms|memory MiB|measured in|date".split("|")
    words = ("network", "measured in", "date")
    return Table(
        "timed-runs",
        "Times of a batch, measured with this package: medians ± interquartile range.",
        tuple(Column(title, number=title not in words) for title in titles),
        tuple(rows),
    )


def _preset_sizes(record: Record) -> list[int]:
    return [found["crop_size"] for preset in PRESETS if (found := sizes(record, preset))]


def _published_on_gpu(record: Record, crop_size: int | str) -> Record | None:
    """The first published time of one image at a crop size that is not of a CPU."""
    rows = (row for row in time_rows(record) if (row.get("batch", 1), row.get("crop_size")) == (1, crop_size))
    return next((row for row in rows if not row["device"].startswith("CPU")), None)


def _setups(lines: Iterable[Mapping[str, TimeRow]]) -> dict[str, tuple[str, str]]:
    """Title and description of each column of measured times, those with most figures first."""
    found: dict[str, list[TimeRow]] = {}
    for line in lines:
        for key, row in line.items():
            found.setdefault(key, []).append(row)
    columns: dict[str, tuple[str, str]] = {}
    taken: list[str] = []
    for key, rows in sorted(found.items(), key=lambda item: -len(item[1])):
        engine = rows[0].engine
        taken.append(engine)
        title = engine if taken.count(engine) == 1 else f"{engine} {taken.count(engine)}"
        columns[key] = title, f"{key}; {_versions(rows)}; {_days(rows)}; {_passes(rows)}"
    return columns


def _versions(rows: Sequence[TimeRow]) -> str:
    """Versions of the runtime, without this package's own."""
    found = {pair for row in rows for pair in row.versions.split() if not pair.startswith("caffezoo=")}
    return " ".join(sorted(found))


def _days(rows: Sequence[TimeRow]) -> str:
    days = sorted({row.date[:10] for row in rows})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _passes(rows: Sequence[TimeRow]) -> str:
    return "forward/backward" if any(row.backward_ms is not None for row in rows) else "forward"


def _published_devices(rows: Iterable[Record]) -> list[Cell]:
    devices = {row["source"]: row["device"] for row in rows}
    said = "; ".join(f"{device} ({source})" for source, device in devices.items())
    return [sentence([f"Published: of one image, on {said}."])] if devices else []


def _own(row: TimeRow | None) -> Cell:
    if row is None:
        return ()
    times = [row.forward_ms, *([row.backward_ms] if row.backward_ms is not None else [])]
    return (Span("/".join(".." if ms is None else three_digits(ms) for ms in times), measured=True),)


def three_digits(ms: float) -> str:
    """No more digits than the spread of these times allows."""
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"


def _with_spread(median_ms: float | None, spread_ms: float | None) -> Cell:
    if median_ms is None:
        return ()
    return (Span(f"{median_ms:.2f}" + (f" ± {spread_ms:.2f}" if spread_ms is not None else ""), measured=True),)
