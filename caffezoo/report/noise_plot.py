"""What parts of the system do to a network's error: a difference with its interval for each variant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffezoo.errors import DataError
from caffezoo.report.figure import COLOURS, GREY, MARKERS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def noise_figure(points: Sequence[tuple[str, str, float, tuple[float, float]]]) -> Figure:
    """Draw differences in points with their intervals.

    Parameters
    ----------
    points : sequence of (network, variant, difference, (low, high))

    Raises
    ------
    DataError
        There is none.
    UsageError
        matplotlib is not installed.
    """
    if not points:
        raise DataError("no variant ran: there is nothing to draw")
    networks = list(dict.fromkeys(network for network, _, _, _ in points))
    variants = list(dict.fromkeys(variant for _, variant, _, _ in points))
    figure = new_figure(5.6, 1.0 + 0.24 * len(variants) * max(1, len(networks) * 0.6))
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=0.8)
    for number, network in enumerate(networks):
        own = [(variants.index(v), d, low, high) for n, v, d, (low, high) in points if n == network]
        shift = 0.6 * ((number + 0.5) / len(networks) - 0.5)
        axes.errorbar(
            [d for _, d, _, _ in own],
            [place + shift for place, _, _, _ in own],
            xerr=[[d - low for _, d, low, _ in own], [high - d for _, d, _, high in own]],
            fmt=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            markersize=4,
            linewidth=1,
            label=network,
        )
    axes.set_yticks(range(len(variants)), variants)
    axes.invert_yaxis()
    axes.set_xlabel("change of top-1 error, points")
    if len(networks) > 1:
        axes.legend(frameon=False, fontsize=8)
    return figure
