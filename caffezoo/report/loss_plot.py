"""How a training went: losses and test outputs by iteration, and where the learning rate changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caffezoo.report.details import CurveRow
from caffezoo.report.figure import COLOURS, GREY, MARKERS, new_figure
from caffezoo.report.rows import TrainingRow
from caffezoo.report.runs import find_run, runs_with_details
from caffezoo.report.zoo_data import ZooData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_STEPS = 12
"""More changes of the learning rate than these are a slope, and get no lines."""

MANY_POINTS = 60


@dataclass(frozen=True)
class Series:
    """One value by iteration.

    Attributes
    ----------
    phase, kind, output : str
    points : tuple of (iteration, value)
        In the order of the log; an iteration that is behind the one before begins a resumed training.
    """

    phase: str
    kind: str
    output: str
    points: tuple[tuple[int, float], ...]

    @property
    def title(self) -> str:
        return f"{self.phase}: {self.output}"


def curve_series(rows: Iterable[CurveRow]) -> list[Series]:
    """Return the series of one training, in the order of their first values."""
    found: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for row in rows:
        found.setdefault((row.phase, row.kind, row.output), []).append((row.iteration, row.value))
    return [Series(*key, tuple(points)) for key, points in found.items()]


def rate_steps(series: Series) -> list[tuple[int, float]]:
    """Return the (iteration, learning rate) at which a rate begins."""
    steps: list[tuple[int, float]] = []
    for iteration, rate in series.points:
        if not steps or rate != steps[-1][1]:
            steps.append((iteration, rate))
    return steps


def loss_figure(data: ZooData, name: str, run: str | None = None) -> Figure:
    """Draw the curves of a network's newest training, or of a named run.

    Raises
    ------
    UnknownNameError, DataError
        See :func:`caffezoo.report.runs.find_run`.
    UsageError
        matplotlib is not installed.
    """
    whole, rows = find_run(runs_with_details(data.training, data.curves), data.index, name, run, "curves of a training")
    series = curve_series(rows)
    kinds = [kind for kind in ("loss", "metric") if any(s.kind == kind for s in series)] or ["learning_rate"]
    figure = new_figure(8.4, 1.2 + 2.7 * len(kinds))
    panels = figure.subplots(len(kinds), 1, squeeze=False, sharex=True)[:, 0]
    rates = [s for s in series if s.kind == "learning_rate"]
    for kind, axes in zip(kinds, panels, strict=True):
        _draw(axes, [s for s in series if s.kind == kind])
        _mark_rates(axes, rates, labelled=axes is panels[0])
        axes.set_ylabel({"loss": "loss", "metric": "test output", "learning_rate": "learning rate"}[kind])
    panels[-1].set_xlabel("iteration")
    panels[0].set_title(_said(whole), fontsize=8.5, loc="left")
    return figure


def _said(whole: TrainingRow) -> str:
    planned = f" of {whole.max_iterations:,}" if whole.max_iterations else ""
    solver = ", ".join(
        filter(None, (whole.solver, f"base rate {whole.learning_rate:g}" if whole.learning_rate else None))
    )
    text = (
        f"{whole.network}: {whole.iterations:,}{planned} iterations, {solver or whole.engine}; "
        f"{whole.engine} on {whole.device}; run {whole.run}"
    )
    return f"{text}\n{whole.note[:110]}" if whole.note else text


def _draw(axes: Axes, series: Sequence[Series]) -> None:
    for i, one in enumerate(series):
        x, y = _with_gaps(one.points)
        many = len(one.points) > MANY_POINTS
        axes.plot(
            x,
            y,
            color=COLOURS[i % len(COLOURS)],
            linestyle="-" if one.phase == "train" else "--",
            linewidth=0.9 if many else 1.3,
            marker=MARKERS[i % len(MARKERS)],
            markersize=3.5,
            markevery=max(1, len(x) // 20),
            label=one.title,
        )
    finite = sorted(v for one in series for _, v in one.points if math.isfinite(v))
    if finite:
        low, high = finite[0], finite[-1]
        if series[0].kind == "loss" and low > 0 and high / low > 50:
            axes.set_yscale("log")
    else:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=GREY)
    axes.margins(x=0.02)
    axes.legend(fontsize=8, frameon=False)


def _with_gaps(points: Sequence[tuple[int, float]]) -> tuple[list[float], list[float]]:
    """Abscissae and ordinates; where iterations go back a resumed training begins, and the line breaks."""
    x: list[float] = []
    y: list[float] = []
    for iteration, value in points:
        if x and iteration < x[-1]:
            x.append(math.nan)
            y.append(math.nan)
        x.append(iteration)
        y.append(value if math.isfinite(value) else math.nan)
    return x, y


def _mark_rates(axes: Axes, rates: Sequence[Series], labelled: bool) -> None:
    steps = rate_steps(rates[0])[1:] if rates else []
    if len(steps) > MAX_STEPS:
        return
    for iteration, rate in steps:
        axes.axvline(iteration, color=GREY, linestyle=":", linewidth=0.9, zorder=0)
        if labelled:
            axes.annotate(
                f"rate {rate:.3g}",
                (iteration, 1),
                xycoords=("data", "axes fraction"),
                xytext=(2, -8),
                textcoords="offset points",
                fontsize=7,
                color="#555555",
            )
