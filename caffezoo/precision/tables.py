"""The study's tables: accuracy and difference in the published layout, and everything else beside it."""

from __future__ import annotations

from collections.abc import Sequence

from caffezoo.precision.study import PrecisionResult
from caffezoo.report.table import Cell, Column, Span, Table, cell


def study_table(studies: Sequence[Sequence[PrecisionResult]]) -> Table:
    """Return ``network | float32 | float16 | diff | ...``: top-1/top-5 accuracy as shares of 1, and differences.

    The layout is that of the published comparison of Keras networks in float32 and float16. A study is one network's
    results, the first of which the others are compared with.
    """
    first = studies[0][0]
    others = list(dict.fromkeys(result.precision for study in studies for result in study[1:]))
    columns = [Column("network"), Column(first.precision, number=True)]
    for other in others:
        columns += [Column(other, number=True), Column("diff", number=True)]
    rows = []
    for study in studies:
        row: list[Cell] = [cell(study[0].network), _measured(accuracy(study[0]))]
        found = {result.precision: result for result in study[1:]}
        for other in others:
            row += (
                [_measured(accuracy(found[other])), _measured(difference(found[other]))] if other in found else [(), ()]
            )
        rows.append(tuple(row))
    images = " and ".join(dict.fromkeys(f"{study[0].images:,}" for study in studies))
    caption = f"Top-1/top-5 accuracy and its difference from {first.precision}, on {images} images."
    return Table("study", caption, tuple(columns), tuple(rows))


DETAIL_TITLES = (
    "network",
    "precision",
    "top-1/5 acc. %",
    "diff (points)",
    "95 % interval",
    "p",
    "same answer %",
    "MB",
    "images/s",
    "engine",
)
DETAIL_NUMBERS = ("diff (points)", "95 % interval", "p", "same answer %", "MB", "images/s")


def detail_rows(study: Sequence[PrecisionResult]) -> list[list[str]]:
    """Return a row a precision, as texts under ``DETAIL_TITLES``."""
    rows = []
    for i, result in enumerate(study):
        low, high = result.top1_difference.interval_points
        five = f"/{100 - result.top5.percent:.2f}" if result.top5 else ""
        paired = ["", "", "", ""]
        if i:
            paired = [
                f"{0 - result.top1_difference.difference_points:+.2f}",
                f"{0 - high:+.2f} .. {0 - low:+.2f}",
                f"{result.top1_difference.p:.2g}",
                f"{100 * result.agreement:.2f}",
            ]
        rows.append(
            [
                result.network,
                result.precision,
                f"{100 - result.top1.percent:.2f}{five}",
                *paired,
                f"{result.weight_bytes / 1e6:.2f}",
                f"{result.images_per_second:.1f}",
                result.engine,
            ]
        )
    return rows


def detail_table(studies: Sequence[Sequence[PrecisionResult]]) -> Table:
    """Return the details as a table: intervals are paired 95 % ones, p is McNemar's, exact; sizes are those of the
    learned values; images/s are the engine's alone."""
    columns = tuple(Column(title, number=title in DETAIL_NUMBERS) for title in DETAIL_TITLES)
    rows = tuple(tuple(cell(text or None) for text in row) for study in studies for row in detail_rows(study))
    caption = "Differences of top-1 accuracy are paired: interval, and exact p of McNemar's test."
    return Table("details", caption, columns, rows)


def accuracy(result: PrecisionResult) -> str:
    """Return top-1/top-5 accuracy as shares of 1."""
    five = f"/{1 - result.top5.percent / 100:.5f}" if result.top5 else ""
    return f"{1 - result.top1.percent / 100:.5f}{five}"


def difference(result: PrecisionResult) -> str:
    """Return the differences of top-1/top-5 accuracy, as shares of 1."""
    five = f"/{0 - result.top5_difference.difference_points / 100:+.5f}" if result.top5_difference else ""
    return f"{0 - result.top1_difference.difference_points / 100:+.5f}{five}"


def _measured(text: str) -> Cell:
    return (Span(text, measured=True),)
