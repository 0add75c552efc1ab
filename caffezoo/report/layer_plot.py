"""Time of a network, layer by layer, from one timed run of the store."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from caffezoo.report.details import LayerRow
from caffezoo.report.figure import COLOURS, GREY, new_figure
from caffezoo.report.rows import TimeRow
from caffezoo.report.runs import find_run, runs_with_details
from caffezoo.report.zoo_data import ZooData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HATCHES = ("", "///", "...", "\\\\\\", "xxx", "ooo", "+++")


def layers_of(data: ZooData, name: str, run: str | None = None) -> tuple[TimeRow, list[LayerRow]]:
    """Return the newest run of a network that has layer times, or a named one, with its layers in order.

    Raises
    ------
    UnknownNameError, DataError
        See :func:`caffezoo.report.runs.find_run`.
    """
    whole, layers = find_run(runs_with_details(data.time, data.layers), data.index, name, run, "times of layers")
    return whole, sorted(layers, key=lambda layer: layer.position)


def layer_figure(data: ZooData, name: str, run: str | None = None) -> Figure:
    """Draw forward (and backward) time of every layer in order, coloured and hatched by layer type.

    Raises
    ------
    UnknownNameError, DataError
        See :func:`layers_of`.
    UsageError
        matplotlib is not installed.
    """
    whole, layers = layers_of(data, name, run)
    passes = [p for p in ("forward", "backward") if any(getattr(layer, f"{p}_ms") is not None for layer in layers)]
    totals: Counter[str] = Counter()
    for layer in layers:
        totals[layer.layer_type] += (layer.forward_ms or 0) + (layer.backward_ms or 0)  # type: ignore[assignment]
    kinds = [kind for kind, _ in totals.most_common(len(COLOURS))]
    figure = new_figure(9.0, 2.0 + 1.9 * len(passes))
    panels = figure.subplots(len(passes), 1, squeeze=False, sharex=True)[:, 0]
    for which, axes in zip(passes, panels, strict=True):
        _draw(axes, layers, kinds, which)
    panels[0].set_title(
        f"{whole.network}, {whole.crop_size} px, batch {whole.batch_size}: {whole.engine} {whole.precision} on "
        f"{whole.cpu if whole.device.startswith('CPU') else whole.device}, {whole.threads} threads; run {whole.run}",
        fontsize=8,
        loc="left",
    )
    panels[-1].set_xlabel("layer, in the order of the prototxt")
    return figure


def _draw(axes: Axes, layers: list[LayerRow], kinds: list[str], which: str) -> None:
    for kind in [*kinds, None]:
        chosen = [
            layer for layer in layers if layer.layer_type == kind or (kind is None and layer.layer_type not in kinds)
        ]
        if not chosen:
            continue
        place = kinds.index(kind) if kind else None
        times = [getattr(layer, f"{which}_ms") or 0.0 for layer in chosen]
        axes.bar(
            [layer.position for layer in chosen],
            times,
            width=1.0,
            color=GREY if place is None else COLOURS[place],
            hatch="" if place is None else HATCHES[place],
            edgecolor="white",
            linewidth=0.2,
            label=f"{kind or 'others'}: {sum(times):.1f} ms",
        )
    axes.set_ylabel(f"{which}, ms")
    axes.grid(axis="x", visible=False)
    axes.margins(x=0.01)
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the legend
    axes.legend(fontsize=8, frameon=False, ncols=4, loc="upper right")
