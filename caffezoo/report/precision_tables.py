"""Tables of ``precision.csv``: networks at several precisions on the same images, as published studies and as pairs."""

from __future__ import annotations

from collections.abc import Sequence

from caffezoo.report.rows import PrecisionRow
from caffezoo.report.table import Cell, Column, Span, Table, cell, sentence
from caffezoo.report.zoo_data import ZooData

NOTHING_YET = "No precisions compared yet; caffezoo precision --record does."


def precision_table(data: ZooData) -> Table:
    """``network | float32 | bfloat16 | diff | ...``: accuracies as shares of 1, in the published study's layout."""
    studies = [rows for rows in _studies(data) if rows[0].weights == "trained"]
    firsts = dict.fromkeys(rows[0].against for rows in studies)
    others = dict.fromkeys(row.precision for rows in studies for row in rows if row.precision not in firsts)
    columns = [
        Column("network"),
        Column("data, images"),
        Column("protocol"),
        *(Column(name, number=True) for name in firsts),
    ]
    for name in others:
        columns += [Column(name, number=True), Column("diff", number=True)]
    lines = []
    for rows in studies:
        found = {row.precision: row for row in rows}
        line = [cell(rows[0].network), cell(f"{rows[0].data}, {rows[0].images:,}"), cell(rows[0].protocol)]
        line += [_accuracy(found.get(name)) for name in firsts]
        for name in others:
            line += [_accuracy(found.get(name)), _difference(found.get(name))]
        lines.append(tuple(line))
    caption = "Top-1/top-5 accuracy at several precisions of the same images, as shares of 1, and differences."
    return Table("precision", caption if lines else NOTHING_YET, tuple(columns), tuple(lines), _measured_on(studies))


def precision_differences_table(data: ZooData) -> Table:
    """A line for each network and precision: paired difference, its interval and p, agreement, size, layers kept."""
    lines = []
    studies = _studies(data)
    for row in (row for rows in studies for row in rows):
        first = row.precision == row.against
        interval: Cell = ()
        if row.top1_difference_low is not None and row.top1_difference_high is not None:
            interval = _own(f"{0 - row.top1_difference_high:+.2f} .. {0 - row.top1_difference_low:+.2f}")
        calibrated = f"{row.calibration or ''} {row.calibration_images or ''}".strip()
        lines.append(
            (
                cell(row.network + " (seeded)" * (row.weights == "seeded")),
                cell(row.precision),
                () if row.top1_difference is None else _own(f"{0 - row.top1_difference:+.2f}"),
                interval,
                () if row.top1_p is None else _own(f"{row.top1_p:.2g}"),
                () if first else _own(f"{row.agreement:.2f}"),
                _own(f"{row.weight_bytes / 1e6:.2f}"),
                cell(row.engine),
                cell(calibrated or None),
                cell(row.kept),
            )
        )
    titles = "network|precision|diff (points)|95 % interval|p|same answer %|MB|engine|calibrated on|kept in float32"
    numbers = ("diff (points)", "95 % interval", "p", "same answer %", "MB")
    caption = (
        "Differences of top-1 accuracy, paired, with 95 % intervals and the exact p of McNemar's test; MB are of the "
        "learned values."
    )
    columns = tuple(Column(title, number=title in numbers) for title in titles.split("|"))
    return Table(
        "precision-differences", caption if lines else NOTHING_YET, columns, tuple(lines), _measured_on(studies)
    )


def _studies(data: ZooData) -> list[list[PrecisionRow]]:
    """Of each network and kind of weights the newest study of those with most images, in the order of the index."""
    sessions: dict[tuple[str, str, str], list[PrecisionRow]] = {}
    for row in data.precision:
        sessions.setdefault((row.network, row.weights, row.session), []).append(row)
    chosen: dict[tuple[str, str], list[PrecisionRow]] = {}
    for (network, weights, _), rows in sessions.items():
        before = chosen.get((network, weights))
        if before is None or rows[0].images >= before[0].images:
            chosen[network, weights] = rows
    order = {name: i for i, name in enumerate(data.records)}
    return [chosen[key] for key in sorted(chosen, key=lambda key: (order[key[0]], key[1] == "seeded"))]


def _accuracy(row: PrecisionRow | None) -> Cell:
    if row is None or row.top1_error is None:
        return ()
    return _own(_pair(1 - row.top1_error / 100, None if row.top5_error is None else 1 - row.top5_error / 100, ".5f"))


def _difference(row: PrecisionRow | None) -> Cell:
    if row is None or row.top1_difference is None:
        return ()
    five = None if row.top5_difference is None else 0 - row.top5_difference / 100
    return _own(_pair(0 - row.top1_difference / 100, five, "+.5f"))


def _pair(one: float, five: float | None, form: str) -> str:
    return f"{one:{form}}" + ("" if five is None else f"/{five:{form}}")


def _own(text: str) -> Cell:
    return (Span(text, measured=True),)


def _measured_on(studies: Sequence[Sequence[PrecisionRow]]) -> tuple[Cell, ...]:
    versions: dict[tuple[str, str], set[str]] = {}
    for row in (row for rows in studies for row in rows):
        versions.setdefault((row.cpu, row.session[:10]), set()).update(row.versions.split())
    return tuple(
        sentence([f"Measured on {cpu}, {day}; {' '.join(sorted(pairs))}."]) for (cpu, day), pairs in versions.items()
    )
