"""What all figures share: the style, and the file that is written.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; markers differ as well, so that a figure can be
read in grey.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from caffezoo.errors import DataError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito, Color Universal Design (2008), without yellow, which is too light for points on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#8C8C8C"

ENDINGS = (".png", ".svg")
DPI = 160


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """Return an empty figure of a size in inches; no layout is quicker where there are many panels.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise UsageError("plots need matplotlib", hint="pip install 'caffezoo[report]'") from None
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E3E3E3",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "svg.hashsalt": "caffezoo",  # the same figure gives the same file
        }
    )
    return Figure(figsize=(width, height), layout=layout)


def check_ending(file: Path) -> None:
    """Refuse, before anything is drawn, a file that would not be a PNG or an SVG."""
    if file.suffix.lower() not in ENDINGS:
        raise UsageError(f"'{file.suffix}' is no picture that can be written", where=str(file), hint="use .png or .svg")


def save(figure: Figure, file: Path) -> None:
    """Write a figure as PNG or SVG, by the file's ending.

    Raises
    ------
    UsageError
        Another ending.
    DataError
        The file cannot be written.
    """
    check_ending(file)
    metadata = {"Date": None} if file.suffix.lower() == ".svg" else {}
    try:
        figure.savefig(file, dpi=DPI, facecolor="white", metadata=metadata)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", where=str(file)) from None
