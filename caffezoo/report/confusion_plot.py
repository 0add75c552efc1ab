"""Which class was taken for which in one evaluation: a matrix of the classes that are confused most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caffezoo.report.details import ConfusionRow
from caffezoo.report.figure import COLOURS, new_figure
from caffezoo.report.rows import AccuracyRow
from caffezoo.report.runs import find_run, runs_with_details
from caffezoo.report.zoo_data import ZooData
from caffezoo.zoo.synsets import class_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CLASSES = 24
MAX_NAME = 26
OTHERS = "other classes"


@dataclass(frozen=True)
class Confusion:
    """A matrix of images.

    Attributes
    ----------
    classes : tuple of int
        The rows, and the columns but for the last, which is all other classes.
    counts : int array (classes, classes + 1)
        True class by the class that it was taken for.
    all_classes : bool
        No class of the run is left out.
    """

    classes: tuple[int, ...]
    counts: NDArray[np.int64]
    all_classes: bool


def confusion_matrix(rows: Sequence[ConfusionRow], limit: int = MAX_CLASSES) -> Confusion:
    """Return the matrix of the classes that are taken for each other most often.

    Parameters
    ----------
    rows : sequence of ConfusionRow
        Of one run.
    limit : int
        Of so many classes at most; the pairs with most images come first, equal ones by class.
    """
    involved = {row.label for row in rows} | {row.guess for row in rows}
    chosen = set(involved)
    if len(involved) > limit:
        chosen = set()
        wrong = sorted((r for r in rows if r.label != r.guess), key=lambda r: (-r.images, r.label, r.guess))
        right = sorted((r for r in rows if r.label == r.guess), key=lambda r: (-r.images, r.label))
        for row in [*wrong, *right]:
            if len(chosen | {row.label, row.guess}) <= limit:
                chosen |= {row.label, row.guess}
    classes = tuple(sorted(chosen))
    place = {label: i for i, label in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes) + 1), np.int64)
    for row in rows:
        if row.label in place:
            counts[place[row.label], place.get(row.guess, len(classes))] += row.images
    return Confusion(classes, counts, chosen == involved)


def confusion_figure(data: ZooData, name: str, run: str | None = None) -> Figure:
    """Draw the matrix of a network's newest evaluation that has one, or of a named run.

    Raises
    ------
    UnknownNameError, DataError
        See :func:`caffezoo.report.runs.find_run`.
    UsageError
        matplotlib is not installed.
    """
    runs = runs_with_details(data.accuracy, data.confusion)
    whole, rows = find_run(runs, data.index, name, run, "what was taken for what")
    found = confusion_matrix(rows)
    side = 0.26 * len(found.classes)
    figure = new_figure(max(side + 3.6, 7.0), max(side + 2.8, 3.8))
    _draw(figure.add_subplot(), found, _names(data, whole, found.classes))
    figure.suptitle(_said(whole, found), fontsize=8.5, x=0.01, ha="left")
    return figure


def _names(data: ZooData, whole: AccuracyRow, classes: Sequence[int]) -> list[str]:
    labels = data.index.record(whole.network)["labels"]
    order, own = str(labels["order"]), labels.get("names")
    names = [class_name(i, whole.classes, order, own).split(",")[0].strip() for i in classes]
    short = [n if len(n) <= MAX_NAME else n[: MAX_NAME - 1] + "…" for n in names]
    twice = {n for n, count in Counter(short).items() if count > 1}  # two of ImageNet's classes are called crane
    return [f"{n} ({i})" if n in twice else n for i, n in zip(classes, short, strict=True)]


def _said(whole: AccuracyRow, found: Confusion) -> str:
    which = "" if found.all_classes else f"the {len(found.classes)} of {whole.classes} classes most often confused; "
    return (
        f"{whole.network} on {whole.data}: {whole.images:,} images, {whole.crops} crop{'s' * (whole.crops > 1)} of "
        f"{whole.crop_size} px, top-1 error {whole.top1_error:.2f} %\n"
        f"{which}numbers: images; colour: share of the true class; {whole.engine} {whole.precision}, run {whole.run}"
    )


def _draw(axes: Axes, found: Confusion, names: Sequence[str]) -> None:
    from matplotlib.colors import to_rgb

    totals = found.counts.sum(axis=1, keepdims=True)
    share = found.counts / np.maximum(totals, 1)
    colours = np.empty((*share.shape, 3))
    colours[:] = to_rgb(COLOURS[1])
    for i in range(len(names)):
        colours[i, i] = to_rgb(COLOURS[0])
    axes.imshow(1 - share[..., None] * (1 - colours), aspect="equal", interpolation="nearest")
    for (row, column), images in np.ndenumerate(found.counts):
        if images:
            dark = share[row, column] > 0.6
            axes.text(column, row, str(images), ha="center", va="center", fontsize=7, color="w" if dark else "k")
    ticks = [*names, OTHERS]
    axes.set_xticks(range(len(ticks)), ticks, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xticks(np.arange(-0.5, len(ticks)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(names)), minor=True)
    axes.grid(visible=False, which="major")
    axes.grid(which="minor", color="#DDDDDD", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("taken for")
    axes.set_ylabel("true class")
