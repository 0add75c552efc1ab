"""Error against crop size: one panel a network, top-1 and top-5, one crop and twelve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from caffezoo.errors import DataError, UsageError
from caffezoo.report.comparison import is_validation_error
from caffezoo.report.figure import COLOURS, new_figure
from caffezoo.report.published import CROPS, accuracy_rows, by_setting, error_percent
from caffezoo.report.zoo_data import ZooData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 64


@dataclass(frozen=True)
class Curve:
    """Errors of one network by crop size, at so many crops, from one origin.

    Attributes
    ----------
    top, crops : int
    measured : bool
        By this package; else published.
    points : tuple of (crop size in px, error in percent), by crop size
    """

    top: int
    crops: int
    measured: bool
    points: tuple[tuple[int, float], ...]


def crop_curves(data: ZooData, name: str) -> list[Curve]:
    """Return a network's curves: published ones of its main source, and measured ones of all validation images."""
    record = data.index.record(name)
    _, source = by_setting(record)
    found: dict[tuple[int, int, bool], dict[int, float]] = {}
    for row in accuracy_rows(record):
        # Both sizes must be said: an error at a crop of another base size is no point of the same curve.
        square = isinstance(row.get("crop_size"), int)  # the axis is the side of one
        if row["source"] != source or row.get("crops") not in CROPS or "base_size" not in row or not square:
            continue
        for top in (1, 5):
            if (error := error_percent(row, top)) is not None:
                found.setdefault((top, row["crops"], False), {}).setdefault(row["crop_size"], error)
    for own in data.accuracy:
        if own.network == name and own.crops in CROPS and is_validation_error(own, record):
            if not isinstance(own.crop_size, int):
                continue
            found.setdefault((1, own.crops, True), {})[own.crop_size] = own.top1_error
            if own.top5_error is not None:
                found.setdefault((5, own.crops, True), {})[own.crop_size] = own.top5_error
    return [Curve(*key, tuple(sorted(points.items()))) for key, points in found.items()]


def networks_with_curves(data: ZooData) -> list[str]:
    """Return the networks with errors at two crop sizes or more."""
    return [n for n in data.imagenet if any(len(curve.points) > 1 for curve in crop_curves(data, n))]


def crop_figure(data: ZooData, names: Sequence[str] = ()) -> Figure:
    """Draw the panels of networks; without names, of all that have two crop sizes.

    Raises
    ------
    DataError
        A network has no error at any known crop size.
    UsageError
        More panels than can be read, or matplotlib is not installed.
    """
    chosen = [data.index.resolve(name) for name in names] or networks_with_curves(data)
    if not chosen:
        raise DataError("no network has errors at two crop sizes", where="the index and the results")
    if len(chosen) > MAX_PANELS:
        raise UsageError(f"{len(chosen)} panels are more than {MAX_PANELS}", hint="name the networks")
    panels = [(name, crop_curves(data, name)) for name in chosen]
    for name, curves in panels:
        if not curves:
            raise DataError("no error at a known base and crop size", where=f"network '{name}'")
    return draw_panels(panels)


def sweep_panels(summaries: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Curve]]]:
    """Return the panels of runs' summaries: a network each, with its errors by crop size.

    Raises
    ------
    DataError
        Two runs of one network have the same crops at the same size.
    """
    found: dict[str, dict[tuple[int, int], dict[int, float]]] = {}
    for summary in summaries:
        protocol = summary["protocol"]
        for top in (1, 5):
            error = summary[f"top{top}_error"]
            points = found.setdefault(summary["network"], {}).setdefault((top, protocol["crops"]), {})
            if error is not None and points.setdefault(protocol["crop_size"], error) != error:
                raise DataError(
                    f"two runs of {summary['network']} have {protocol['crops']} crops of {protocol['crop_size']} px"
                )
    return [
        (name, [Curve(top, crops, True, tuple(sorted(points.items()))) for (top, crops), points in curves.items()])
        for name, curves in found.items()
    ]


def draw_panels(named: Sequence[tuple[str, Sequence[Curve]]]) -> Figure:
    """Draw a panel for each network.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    columns = min(len(named), 6 if len(named) > 12 else 4)
    lines = ceil(len(named) / columns)
    width, height = max(2.2 * columns, 4.4) + 0.4, 1.9 * lines + 1.0
    figure = new_figure(width, height, layout=None)
    left = 0.55 if len(named) > 1 else 0.62  # a single panel has longer numbers at its axis
    figure.subplots_adjust(left / width, 0.45 / height, 1 - 0.1 / width, 1 - 0.62 / height, hspace=0.25, wspace=0.12)
    panels = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat)
    for (name, curves), axes in zip(named, panels, strict=False):
        _draw(axes, name, curves)
    for axes in panels[len(named) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("error, %")
    for axes in panels[max(0, len(named) - columns) : len(named)]:
        axes.set_xlabel("crop size, px")
        axes.tick_params(labelbottom=True)
    handles = {
        text: handle for axes in figure.axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="upper center", ncols=4 if columns > 3 else 2, frameon=False, fontsize=8
    )
    return figure


def _draw(axes: Axes, name: str, curves: Sequence[Curve]) -> None:
    for curve in curves:
        colour = COLOURS[0] if curve.top == 1 else COLOURS[1]
        crops = "1 crop" if curve.crops == 1 else f"{curve.crops} crops"
        x, y = zip(*curve.points, strict=True)
        axes.plot(
            x,
            y,
            color=colour,
            linestyle="-" if curve.crops == 1 else "--",
            marker="o" if curve.top == 1 else "s",
            markersize=4,
            markerfacecolor=colour if curve.measured else "white",
            label=f"top-{curve.top}, {crops}, {'measured' if curve.measured else 'published'}",
        )
    axes.set_title(name, fontsize=8)
    axes.margins(x=0.15, y=0.1)
    axes.set_ylim(bottom=0)
