"""How often a network is right, by how sure it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from caffezoo.report.figure import COLOURS, GREY, MARKERS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Bin(Protocol):
    """Images that a network was about as sure of."""

    @property
    def images(self) -> int: ...
    @property
    def confidence(self) -> float: ...
    @property
    def accuracy(self) -> float: ...


def reliability_figure(curves: Sequence[tuple[str, Sequence[Bin], float]]) -> Figure:
    """Draw accuracy against confidence, above how many images were how sure.

    Parameters
    ----------
    curves : sequence of (name, bins, expected calibration error 0..1)

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    figure = new_figure(4.6, 5.0 + 0.17 * len(curves))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    for number, (name, bins, error) in enumerate(curves):
        filled = [b for b in bins if b.images]
        total = sum(b.images for b in filled)
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": 4}
        sure = [b.confidence for b in filled]
        label = f"{name}: {100 * error:.2f} points"
        upper.plot(sure, [b.accuracy for b in filled], label=label, **style)
        lower.plot(sure, [100 * b.images / total for b in filled], **style)
    upper.set_ylabel("share that is right")
    upper.set_ylim(0, 1.02)
    title = "expected calibration error"
    figure.legend(loc="outside upper center", frameon=False, fontsize=8, title=title, title_fontsize=8)
    lower.set_xlabel("top-1 probability")
    lower.set_ylabel("images, %")
    lower.set_xlim(0, 1.02)
    return figure
