"""The noise of quantised layers, drawn along the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffezoo.precision.quantisation_noise import LayerNoise
from caffezoo.report.figure import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 5
"""So many of the noisiest layers are named in the figure."""


def noise_figure(noise: Sequence[LayerNoise], order: Sequence[str], title: str) -> Figure:
    """Return bars of signal to noise in dB, one a layer, in the network's order.

    Parameters
    ----------
    noise : sequence of LayerNoise
    order : sequence of str
        All layers of the network.
    title : str
    """
    place = {layer: i for i, layer in enumerate(order)}
    drawn = sorted(noise, key=lambda x: place.get(x.layer, len(order)))
    figure = new_figure(max(6.0, 0.09 * len(drawn) + 2), 3.4)
    axes = figure.subplots()
    worst = {x.layer for x in sorted(noise, key=lambda x: x.decibel)[:NAMED]}
    finite = [x.decibel for x in drawn if abs(x.decibel) != float("inf")]
    top = max(finite, default=1.0)
    heights = [min(max(x.decibel, 0.0), top) for x in drawn]
    colours = [COLOURS[1] if x.layer in worst else COLOURS[0] for x in drawn]
    axes.bar(range(len(drawn)), heights, color=colours, width=0.8)
    for i, x in enumerate(drawn):
        if x.layer in worst:
            axes.text(i, heights[i], f" {x.layer}", rotation=90, va="bottom", ha="center", fontsize=7)
    axes.set_ylim(0, 1.35 * top)
    axes.set_xlim(-1, len(drawn))
    axes.set_xlabel("layers that are quantised, in the network's order")
    axes.set_ylabel("signal to noise (dB)")
    axes.set_title(f"{title}: noise of 8 bits by layer", fontsize=9)
    axes.grid(axis="x", visible=False)
    return figure
