"""Error against cost, with the networks that no other beats in both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caffezoo.errors import DataError
from caffezoo.report.comparison import is_validation_error, measured_setting
from caffezoo.report.figure import COLOURS, GREY, MARKERS, new_figure
from caffezoo.report.published import Record, error_percent, headline
from caffezoo.report.time_series import time_series
from caffezoo.report.zoo_data import ZooData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = {
    "macs": "GMACs of one image at the small crop size (computed)",
    "parameters": "million parameters (computed)",
    "time": "forward time of one image, ms",
}


@dataclass(frozen=True)
class Point:
    """A network.

    Attributes
    ----------
    network, family : str
    cost : float
        In the axis' unit.
    error : float
        Percent.
    measured : bool
        The error was measured with this package; else it is published.
    stated : bool
        The error is known to be of one crop; else its source does not say how many.
    """

    network: str
    family: str
    cost: float
    error: float
    measured: bool = False
    stated: bool = True


def cost_points(data: ZooData, against: str, top: int, engine: str | None = None) -> list[Point]:
    """Return the networks whose single-crop error at the small size and whose cost are known.

    A measured error (all validation images) takes the place of a published one. Times are those of one device, the one
    with the most networks, because times of different devices do not compare.

    Parameters
    ----------
    against : {'macs', 'parameters', 'time'}
    top : {1, 5}
    engine : str, optional
        With ``time``: times measured in this engine; published ones without.
    """
    times = _times(data, engine)[1] if against == "time" else {}
    points: list[Point] = []
    for name, record in data.imagenet.items():
        error, measured, stated = _error(data, name, record, top)
        cost = times.get(name) if against == "time" else _computed(data, name, against)
        if error is not None and cost is not None:
            points.append(Point(name, str(record["family"]), cost, error, measured, stated))
    return points


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in cost and error both, cheapest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, p.error)):
        if not front or point.error < front[-1].error:
            front.append(point)
    return front


def cost_figure(data: ZooData, against: str = "macs", top: int = 1, engine: str | None = None) -> Figure:
    """Draw every network as a point, families told apart, and the Pareto front as a line with names.

    Raises
    ------
    DataError
        No network has both figures.
    UsageError
        matplotlib is not installed.
    """
    points = cost_points(data, against, top, engine)
    if not points:
        raise DataError(
            f"no network has both a top-{top} error and its {against}{f' in {engine}' if engine else ''}",
            hint="`caffezoo time --net all --record` measures it" if engine else "choose other axes",
        )
    figure = new_figure(8.4, 5.6)
    axes: Axes = figure.add_subplot()
    _scale(axes, points)
    front = pareto_front(points)
    _draw_families(axes, points)
    steps = [front[0], *front]
    axes.step(
        [p.cost for p in steps] + [axes.get_xlim()[1]],
        [axes.get_ylim()[1], *(p.error for p in front), front[-1].error],
        where="post",
        color="#444444",
        linewidth=1.1,
        zorder=1,
        label="Pareto front",
    )
    axes.set_ylabel(f"top-{top} error, %, one crop at the small size")
    axes.set_xlabel(AXES[against] + (f" ({_times(data, engine)[0]})" if against == "time" else ""))
    axes.set_title(_said(points), fontsize=9, loc="left")
    axes.legend(fontsize=8, frameon=False, loc="upper right", ncols=2)
    _label(figure, axes, front, points)
    return figure


def _said(points: Sequence[Point]) -> str:
    measured = sum(p.measured for p in points)
    text = f"{len(points)} networks, ILSVRC2012 validation errors as published (sources: zoo_index.yaml)"
    if measured:
        text += f", {measured} measured with this package (ringed)"
    return text + ("; hollow: number of crops not stated" if not all(p.stated for p in points) else "")


def _scale(axes: Axes, points: Sequence[Point]) -> None:
    """Both axes logarithmic, with ticks at 1, 2, 5 or finer, and room for names below the front."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(p.cost for p in points) / 1.8, max(p.cost for p in points) * 1.5)
    axes.set_ylim(max(min(p.error for p in points) * 0.84, 0.01), max(p.error for p in points) * 1.08)
    for axis, steps in ((axes.xaxis, (1.0, 2.0, 5.0)), (axes.yaxis, (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0))):
        axis.set_major_locator(LogLocator(subs=steps))
        axis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
        axis.set_minor_locator(LogLocator(subs=()))


def _times(data: ZooData, engine: str | None) -> tuple[str, Mapping[str, float]]:
    """How and on what forward times were taken, and the times by network: of the series with most networks."""
    of_engine = [s for s in time_series(data) if s.engine == engine]
    if not of_engine:
        return "", {}
    best = max(of_engine, key=lambda series: len(series.forward_ms))
    return f"{'measured' if best.measured else 'published'}: {best.title}", best.forward_ms


def _error(data: ZooData, name: str, record: Record, top: int) -> tuple[float | None, bool, bool]:
    for row in reversed(data.accuracy):
        if row.network == name and measured_setting(row, record, "small", 1) and is_validation_error(row, record):
            return (row.top1_error if top == 1 else row.top5_error), True, True
    published = headline(record)
    return error_percent(published, top), False, published.get("crops") == 1


def _computed(data: ZooData, name: str, against: str) -> float:
    cost = data.costs[name]
    return cost["macs"] / 1e9 if against == "macs" else cost["parameters"] / 1e6


def _draw_families(axes: Axes, points: Sequence[Point]) -> None:
    counted = [family for family, _ in Counter(p.family for p in points).most_common(len(COLOURS))]
    styles = {family: (COLOURS[i], MARKERS[i]) for i, family in enumerate(counted)}
    for family in [*counted, None]:
        chosen = [p for p in points if p.family == family or (family is None and p.family not in styles)]
        colour, marker = styles.get(family or "", (GREY, "h"))
        for stated in (True, False):
            some = [p for p in chosen if p.stated is stated]
            if some:
                axes.scatter(
                    [p.cost for p in some],
                    [p.error for p in some],
                    s=34,
                    facecolors=colour if stated else "none",
                    marker=marker,
                    linewidths=0.5 if stated else 1.0,
                    edgecolors="white" if stated else colour,
                    label=(family or "others") if stated or all(not p.stated for p in chosen) else None,
                    zorder=3,
                )
    ringed = [p for p in points if p.measured]
    axes.scatter(
        [p.cost for p in ringed], [p.error for p in ringed], s=90, facecolors="none", edgecolors="black", zorder=4
    )


# Offsets in points, nearest first. Below and left of its point a name crosses neither the front nor any other point.
_PLACES = (*((-4.0 - 0.25 * down, -9.0 - down) for down in range(0, 90, 5)), (6.0, -10.0))


def _label(figure: Figure, axes: Axes, front: Sequence[Point], points: Sequence[Point]) -> None:
    """Name the points of the front, where needed at the end of a thin line; a name without room is left out."""
    figure.draw_without_rendering()
    taken: list[Any] = [legend.get_window_extent()] if (legend := axes.get_legend()) else []
    pixels = axes.transData.transform([(p.cost, p.error) for p in points])
    figure.set_layout_engine("none")  # the places found below stay where they are
    inside = axes.get_window_extent()
    for point in front:
        for number, offset in enumerate(_PLACES):
            style: dict[str, Any] = {"xytext": offset, "textcoords": "offset points", "fontsize": 7.5}
            style["ha"] = "right" if offset[0] < 0 else "left"
            text = axes.annotate(point.network, (point.cost, point.error), **style)
            box = text.get_window_extent()
            hidden = any(box.x0 - 2 < x < box.x1 + 2 and box.y0 - 2 < y < box.y1 + 2 for x, y in pixels)
            outside = box.x0 < inside.x0 or box.y0 < inside.y0
            free = not hidden and not outside and not any(box.overlaps(other) for other in taken)
            if free and 0 < number < len(_PLACES) - 1:
                line = {
                    "arrowstyle": "-",
                    "color": GREY,
                    "linewidth": 0.6,
                    "shrinkA": 0,
                    "shrinkB": 3,
                    "relpos": (1, 1),
                }
                axes.annotate(point.network, (point.cost, point.error), arrowprops=line, **style)
                text.remove()
            if free:
                taken.append(box)
                break
            text.remove()
