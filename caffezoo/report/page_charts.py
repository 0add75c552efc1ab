"""The page's charts as Bokeh documents, made once; each page puts its own data into them.

A chart's data stands in sources that have names; ``page.js`` finds them by these names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caffezoo.report.crop_plot import Curve
from caffezoo.report.details import LayerRow
from caffezoo.report.figure import COLOURS, GREY, MARKERS
from caffezoo.report.page_summary import Summary
from caffezoo.report.time_series import TimeSeries

# Bokeh's names of the markers in figure.py, and characters that look like them, in the same order.
_BOKEH_MARKERS = dict(
    zip(MARKERS, ("circle", "square", "triangle", "diamond", "inverted_triangle", "plus", "x"), strict=True)
)
_SIGNS = dict(zip(MARKERS, "●■▲◆▼✚✖", strict=True))

Json = dict[str, Any]


@dataclass(frozen=True)
class Style:
    """How the points of a family look; ``sign`` is a character like the marker, for the legend."""

    title: str
    colour: str
    marker: str
    sign: str


def family_styles(rows: Sequence[Summary]) -> dict[str, Style]:
    """Return a style of its own for each of the largest families, and a common one, under ``""``, for the others."""
    counts = Counter(row.family for row in rows if row.top1_error is not None or row.top5_error is not None)
    largest = [family for family, _ in counts.most_common(len(COLOURS))]
    styles = {
        family: Style(family, colour, _BOKEH_MARKERS[marker], _SIGNS[marker])
        for family, colour, marker in zip(largest, COLOURS, MARKERS, strict=False)
    }
    return {**styles, "": Style("others", GREY, "hex", "⬢")}


def cost_axes(series: Sequence[TimeSeries]) -> dict[str, str]:
    """Return the titles of the cost chart's horizontal axes by their key in the page's data."""
    times = {
        one.key: f"forward ms of one image, {'measured' if one.measured else 'published'}: {one.title}"
        for one in series
    }
    return {
        "macs": "GMACs of one image at the small crop size (computed)",
        "parameters": "million parameters (computed)",
        "size_mib": "MiB of a float32 caffemodel (computed)",
        **times,
    }


def cost_chart() -> Json:
    """Return the chart of error against cost: sources ``points`` and ``front``."""
    from bokeh.models import BasicTickFormatter, ColumnDataSource, HoverTool, LogTicker, Range1d, TapTool
    from bokeh.plotting import figure

    columns = "x y network family error cost origin colour fill marker ring".split()
    points = ColumnDataSource({name: [] for name in columns}, name="points")
    front = ColumnDataSource({"x": [], "y": []}, name="front")
    chart = figure(
        x_axis_type="log",
        y_axis_type="log",
        height=460,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset,save",
        active_drag=None,
        x_range=Range1d(start=1, end=10, name="x-range"),
        y_range=Range1d(start=1, end=10, name="y-range"),
    )
    for axis in (chart.xaxis[0], chart.yaxis[0]):
        axis.ticker = LogTicker(mantissas=[1, 2, 5] if axis is chart.xaxis[0] else [1, 1.5, 2, 3, 4, 5, 7])
        axis.formatter = BasicTickFormatter(use_scientific=False)
    chart.step("x", "y", source=front, mode="after", color="#333333", line_width=1.5, name="front-line")
    chart.scatter("x", "y", source=points, size="ring", fill_color=None, line_color="#000000", line_width=1.2)
    marks = chart.scatter(
        "x",
        "y",
        source=points,
        size=10,
        marker="marker",
        fill_color="fill",
        line_color="colour",
        line_width=1.3,
        fill_alpha=0.85,
        hover_fill_color="#FFD400",
        hover_line_color="#000000",
        nonselection_alpha=0.45,
        selection_line_color="#000000",
    )
    chart.add_tools(
        HoverTool(
            renderers=[marks],
            tooltips=[
                ("network", "@network"),
                ("family", "@family"),
                ("error", "@error"),
                ("cost", "@cost"),
                ("figures", "@origin"),
            ],
        ),
        TapTool(renderers=[marks]),
    )
    return _finished(chart)


def crop_chart() -> Json:
    """Return the chart of error against crop size: sources ``curves`` and ``curve-points``."""
    from bokeh.models import ColumnDataSource, HoverTool, Range1d
    from bokeh.plotting import figure

    curves = ColumnDataSource({n: [] for n in ("xs", "ys", "title", "colour", "dash")}, name="curves")
    points = ColumnDataSource({n: [] for n in ("x", "y", "title", "colour", "fill")}, name="curve-points")
    chart = figure(
        height=320,
        sizing_mode="stretch_width",
        tools="save",
        x_axis_label="crop size, px",
        x_range=Range1d(name="x-range"),
        y_range=Range1d(name="y-range"),
    )
    chart.multi_line(
        "xs", "ys", source=curves, line_color="colour", line_dash="dash", line_width=2, legend_field="title"
    )
    marks = chart.scatter("x", "y", source=points, size=9, line_color="colour", fill_color="fill", line_width=1.5)
    chart.add_tools(
        HoverTool(renderers=[marks], tooltips=[("curve", "@title"), ("crop", "@x px"), ("error", "@y{0.00} %")])
    )
    chart.yaxis.axis_label = "error, %"
    _set_legend_below(chart, columns=2)
    return _finished(chart)


def layer_chart() -> Json:
    """Return the chart of time by layer: source ``layers``."""
    from bokeh.models import ColumnDataSource, HoverTool, Range1d
    from bokeh.plotting import figure

    names = "position layer layer_type forward_ms backward_ms base top colour".split()
    layers = ColumnDataSource({n: [] for n in names}, name="layers")
    chart = figure(
        height=320,
        sizing_mode="stretch_width",
        tools="xbox_zoom,reset,save",
        active_drag=None,
        x_range=Range1d(name="x-range"),
        y_range=Range1d(name="y-range"),
    )
    chart.vbar(
        x="position", top="top", bottom="base", source=layers, width=0.9, color="colour", legend_field="layer_type"
    )
    chart.add_tools(
        HoverTool(
            tooltips=[
                ("layer", "@layer"),
                ("type", "@layer_type"),
                ("forward", "@forward_ms ms"),
                ("backward", "@backward_ms ms"),
            ]
        )
    )
    chart.xaxis.axis_label = "layer, in the order of the prototxt"
    chart.yaxis.axis_label = "ms"
    _set_legend_below(chart, columns=3)
    return _finished(chart)


def _set_legend_below(chart: Any, columns: int) -> None:
    chart.add_layout(chart.legend[0], "below")
    chart.legend[0].update(
        name="legend",
        location="left",
        orientation="horizontal",
        ncols=columns,
        spacing=14,
        border_line_color=None,
        label_text_font_size="12px",
    )


def curve_data(curves: Sequence[Curve]) -> Json:
    """Return the data of ``crop_chart`` for one network."""
    lines: Json = {name: [] for name in ("xs", "ys", "title", "colour", "dash")}
    points: Json = {name: [] for name in ("x", "y", "title", "colour", "fill")}
    for curve in curves:
        colour = COLOURS[0] if curve.top == 1 else COLOURS[1]
        crops = "1 crop" if curve.crops == 1 else f"{curve.crops} crops"
        title = f"top-{curve.top}, {crops}, {'measured' if curve.measured else 'published'}"
        x, y = ([point[axis] for point in curve.points] for axis in (0, 1))
        values = (x, y, title, colour, "solid" if curve.crops == 1 else "dashed")
        for column, value in zip(lines.values(), values, strict=True):
            column.append(value)
        fill = colour if curve.measured else "white"
        for column, many in zip(points.values(), (x, y, *([v] * len(x) for v in (title, colour, fill))), strict=True):
            column.extend(many)
    low, high = min(points["x"]), max(points["x"])
    pad = max(1.0, (high - low) * 0.08)
    return {
        "curves": {"data": lines},
        "curve-points": {"data": points},
        "x-range": _range(low - pad, high + pad),
        "y-range": _range(0, max(points["y"]) * 1.12 or 1.0),
    }


def layer_data(layers: Sequence[LayerRow]) -> Json:
    """Return the data of ``layer_chart`` for one run."""
    totals: Counter[str] = Counter()
    for layer in layers:
        totals[layer.layer_type] += (layer.forward_ms or 0) + (layer.backward_ms or 0)  # type: ignore[assignment]
    colours = dict(zip((kind for kind, _ in totals.most_common(len(COLOURS))), COLOURS, strict=False))
    top = [layer.forward_ms or 0.0 for layer in layers]
    base = [-(layer.backward_ms or 0.0) for layer in layers]
    columns = {
        "position": [layer.position for layer in layers],
        "layer": [layer.layer for layer in layers],
        "layer_type": [layer.layer_type if layer.layer_type in colours else "others" for layer in layers],
        "forward_ms": ["–" if layer.forward_ms is None else f"{layer.forward_ms:.3f}" for layer in layers],
        "backward_ms": ["–" if layer.backward_ms is None else f"{layer.backward_ms:.3f}" for layer in layers],
        "base": base,
        "top": top,
        "colour": [colours.get(layer.layer_type, GREY) for layer in layers],
    }
    return {
        "layers": {"data": columns},
        "x-range": _range(-1, max(layer.position for layer in layers) + 1),
        "y-range": _range(min(base) * 1.08, max(top) * 1.08 or 1.0),
    }


def _range(start: float, end: float) -> Json:
    return {"start": start, "end": end, "reset_start": start, "reset_end": end}


def _finished(chart: Any) -> Json:
    """Apply what all charts share, and return the chart as JSON."""
    from bokeh.embed import json_item

    chart.name = "chart"
    chart.toolbar.logo = None
    chart.toolbar.autohide = True
    chart.outline_line_color = None
    for axis in (*chart.xaxis, *chart.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.minor_tick_line_color = None
        axis.name = "x-axis" if axis in chart.xaxis else "y-axis"
    chart.grid.grid_line_color = "#E6E6E6"
    item: Json = dict(json_item(chart))
    return item
