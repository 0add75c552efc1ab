"""Tables of error rates: published, with what was measured here beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from caffezoo.report.comparison import is_validation_error, measured_setting
from caffezoo.report.depth import DEFINITION
from caffezoo.report.published import SETTINGS, Record, Setting, by_setting, error_percent, headline, times_at
from caffezoo.report.rows import AccuracyRow
from caffezoo.report.table import Cell, Column, Span, Table, cell, sentence
from caffezoo.report.zoo_data import ZooData

KERAS = "keras"
LITE = "soeaver-lite"
UNCLEAR = "†"

_MEASURED_NOTE = sentence(["In italics: measured with this package, from results/accuracy.csv."])
_NO_RESULTS = sentence(["Every figure is published: none was measured with this package on all these images yet."])


def accuracy_table(data: ZooData) -> Table:
    """Published layout: top-1/top-5 error at small and large sizes, with 1 and 12 crops."""
    rows: list[tuple[Cell, ...]] = []
    sources: list[str | None] = []
    unclear = False
    for name, record in data.imagenet.items():
        published, source = by_setting(record)
        cells = error_cells(data, name, record)
        if not published and (row := headline(record)) and (spans := _errors(row, UNCLEAR)):
            cells[0], source, unclear = (*spans, *cells[0]), row["source"], True
        sources.append(source)
        rows.append((cell(name), *cells, cell(_sizes(record)), cell(source)))
    notes = [provenance_note(row[1:-2] for row in rows)]
    if unclear:
        notes.append(sentence([f"{UNCLEAR} the source does not say all of crops, base size and crop size."]))
    return Table(
        "accuracy",
        "Top-1/top-5 error in percent on the validation images of ILSVRC2012, as published by the named source; "
        "sizes as base/crop in px.",
        (Column("network"), *(Column(str(s), number=True) for s in SETTINGS), Column("sizes"), Column("source")),
        tuple(rows),
        (*notes, *data.source_note(sources)),
    )


def error_cells(data: ZooData, name: str, record: Record) -> list[Cell]:
    """Published and, in italics, measured top-1/top-5 error of a network at each of ``SETTINGS``."""
    published, _ = by_setting(record)
    cells: list[Cell] = []
    for setting in SETTINGS:
        own = _newest(data.accuracy, name, record, setting)
        cells.append((*_errors(published.get(setting, {})), *(_own(own) if own else ())))
    return cells


def provenance_note(rows: Iterable[Iterable[Cell]]) -> Cell:
    """Say whether any of these cells was measured here."""
    measured = any(span.measured for row in rows for found in row for span in found)
    return _MEASURED_NOTE if measured else _NO_RESULTS


def lite_table(data: ZooData) -> Table:
    """The small networks of the published lite table: error, and forward/backward time on its GPU and CPU."""
    rows: list[tuple[Cell, ...]] = []
    for name, record in data.imagenet.items():
        times = {
            device: next((t for t in times_at(record, "small", device) if t["source"] == LITE), None)
            for device in ("GPU", "CPU")
        }
        published, source = by_setting(record)
        if not any(times.values()) and source != LITE:
            continue
        rows.append(
            (
                cell(name),
                _errors(published.get(SETTINGS[0], {})),
                *(forward_backward(t) for t in times.values()),
                cell(record["preprocessing"]["small"]["crop_size"]),
            )
        )
    return Table(
        "lite",
        "Small networks, all figures as published: top-1/top-5 error in percent with one crop, forward/backward time "
        "in ms of one image.",
        (
            Column("network"),
            Column("error", number=True),
            Column("F/B GPU", number=True),
            Column("F/B CPU", number=True),
            Column("crop px", number=True),
        ),
        tuple(rows),
        tuple(data.source_note([LITE])) if rows else (),
    )


def applications_table(data: ZooData) -> Table:
    """Keras' applications: computed size, parameters and depth, published accuracies."""
    rows: list[tuple[Cell, ...]] = []
    sources: list[str | None] = []
    for name, record in data.records.items():
        if record["family"] != KERAS:
            continue
        row, cost = headline(record), data.costs[name]
        sources.append(row.get("source"))
        rows.append(
            (
                cell(name),
                cell(cost["blob_elements"] * 4 / 2**20, 1),
                *(cell(None if (e := error_percent(row, top)) is None else 100 - e, 1) for top in (1, 5)),
                cell(f"{cost['parameters']:,}"),
                cell(cost["depth"]),
                cell(row.get("source")),
            )
        )
    return Table(
        "applications",
        "Keras' applications: accuracies in percent as published (single crop); size, parameters and depth computed "
        "from the prototxts.",
        (
            Column("network"),
            Column("size MiB", number=True),
            Column("top-1", number=True),
            Column("top-5", number=True),
            Column("parameters", number=True),
            Column("depth", number=True),
            Column("source"),
        ),
        tuple(rows),
        (
            sentence([f"Depth: {DEFINITION}. Keras' own tables count otherwise, and not the same in every version."]),
            sentence(
                ["Parameters: four values a channel for each batch normalisation that has all four, as Keras counts."]
            ),
            sentence(["Size: of the float32 values in a caffemodel."]),
            *data.source_note(sources),
        ),
    )


@dataclass(frozen=True)
class _Condition:
    """What makes two measured rows the same measurement, but for the precision."""

    network: str
    data: str
    images_sha256: str
    images: int
    protocol_name: str
    labels: str | None
    class_subset: int | None
    mean: str
    std: str
    engine: str

    @classmethod
    def of(cls, row: AccuracyRow) -> _Condition:
        return cls(**{name: getattr(row, name) for name in cls.__dataclass_fields__})


def measured_table(data: ZooData) -> Table:
    """Everything in ``accuracy.csv``, the newest row of each measurement, with 95 % intervals."""
    newest = {(_Condition.of(row), row.precision): row for row in data.accuracy}
    rows = [
        (
            cell(row.network),
            cell(_images(row)),
            cell(row.protocol_name),
            _interval(row.top1_error, row.top1_low, row.top1_high),
            _interval(row.top5_error, row.top5_low, row.top5_high),
            cell(f"{row.engine}, {row.precision}"),
            cell(row.cpu),
            cell(row.date[:10]),
        )
        for row in newest.values()
    ]
    titles = "network|data, images|protocol|top-1 error %|top-5 error %|engine|CPU|date"
    numbers = ("top-1 error %", "top-5 error %")
    caption = "Measured with this package, with 95 % Wilson intervals." if rows else "No results measured yet."
    return Table("measured", caption, tuple(Column(t, number=t in numbers) for t in titles.split("|")), tuple(rows))


def _images(row: AccuracyRow) -> str:
    labels = f", labels {row.labels}" if row.labels else ""
    subset = f", {row.class_subset} classes" if row.class_subset else ""
    return f"{row.data}, {row.images:,}{labels}{subset}"


def forward_backward(row: Record | None) -> Cell:
    """Published forward/backward time in ms."""
    if row is None or ("forward_ms" not in row and "backward_ms" not in row):
        return ()
    return cell("/".join(f"{row[key]:.2f}" if key in row else ".." for key in ("forward_ms", "backward_ms")))


def _errors(row: Record, mark: str = "") -> Cell:
    errors = [error_percent(row, top) for top in (1, 5)] if row else []
    if all(error is None for error in errors):
        return ()
    return cell("/".join(".." if error is None else f"{error:.2f}" for error in errors) + mark)


def _own(row: AccuracyRow) -> Cell:
    top5 = ".." if row.top5_error is None else f"{row.top5_error:.2f}"
    return (Span(f"{row.top1_error:.2f}/{top5}", measured=True),)


def _newest(rows: Iterable[AccuracyRow], name: str, record: Record, setting: Setting) -> AccuracyRow | None:
    found = None
    for row in rows:
        same = row.network == name and measured_setting(row, record, setting.preset, setting.crops)
        if same and is_validation_error(row, record):
            found = row
    return found


def _sizes(record: Record) -> str:
    pairs = [record["preprocessing"].get(preset) for preset in ("small", "large")]
    return ", ".join(f"{pair['base_size']}/{pair['crop_size']}" for pair in pairs if pair)


def _interval(error: float | None, low: float | None, high: float | None) -> Cell:
    return () if error is None else (Span(f"{error:.2f} [{low:.2f}, {high:.2f}]", measured=True),)
