"""Three models' five best classes on the same images, as text, and what they disagree on.

The format is that of kakugawa/MetalCNNWeights' prediction_comparison.txt: three lines an image, its name in 15 columns
before the first, then ``[T]`` (the teacher: the network as trained), ``[G]`` (generated: folded) or ``[O]`` (the other
files), then five entries ``%3d=%.6f`` of class and probability, the most probable first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffezoo.errors import DataError

MODELS = ("T", "G", "O")
BEST = 5
_LINE = re.compile(r"^(?P<name>.{15,}?): \[T\] (?P<first>.*)$|^ {17}\[(?P<model>[GO])\] (?P<rest>.*)$")
_ENTRY = re.compile(r"^(\d+)=([0-9.]+|nan)$")

Entries = tuple[tuple[int, float], ...]
"""(class, probability), the most probable first."""


@dataclass(frozen=True)
class Disagreement:
    """How often a model answers otherwise than the teacher.

    Attributes
    ----------
    model : {"G", "O"}
    images : int
    top1 : int
        Images whose most probable class is another one.
    top5 : int
        Images whose five classes do not hold the teacher's most probable.
    """

    model: str
    images: int
    top1: int
    top5: int


def best(scores: np.ndarray) -> Entries:
    """Return the five most probable classes; of equal scores the smaller class first."""
    order = np.argsort(-scores, kind="stable")[:BEST]
    return tuple((int(k), float(scores[k])) for k in order)


def prediction_lines(name: str, models: Sequence[Entries]) -> list[str]:
    """Return the three lines of an image."""
    texts = [" ".join(f"{k:3d}={p:.6f}" for k, p in entries) for entries in models]
    first, *rest = zip(MODELS, texts, strict=True)
    return [f"{name:<15}: [{first[0]}] {first[1]}", *(f"{'':17}[{model}] {text}" for model, text in rest)]


def read_predictions(file: Path) -> list[tuple[str, tuple[Entries, ...]]]:
    """Return each image's name and the three models' entries.

    Raises
    ------
    DataError
        A line is none of the format; file and line are named.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(file)) from None
    found: list[tuple[str, tuple[Entries, ...]]] = []
    pending: list[Entries] = []
    name = ""
    for number, line in enumerate(lines, 1):
        where = f"{file}:{number}"
        match = _LINE.match(line)
        wanted = MODELS[len(pending)]
        model = "T" if match and match["name"] is not None else match["model"] if match else None
        if match is None or model != wanted:
            raise DataError(f"is no line of model [{wanted}]", where=where)
        if model == "T":
            name = match["name"].rstrip()
        pending.append(_entries(match["first"] if model == "T" else match["rest"], where))
        if len(pending) == len(MODELS):
            found.append((name, tuple(pending)))
            pending = []
    if pending or not found:
        raise DataError("ends in the middle of an image" if pending else "is empty", where=str(file))
    return found


def disagreements(images: Iterable[tuple[str, Sequence[Entries]]]) -> Iterator[Disagreement]:
    """Yield how the second and third model disagree with the first."""
    rows = list(images)
    for i, model in enumerate(MODELS[1:], 1):
        top1 = sum(models[i][0][0] != models[0][0][0] for _, models in rows)
        top5 = sum(models[0][0][0] not in {k for k, _ in models[i]} for _, models in rows)
        yield Disagreement(model, len(rows), top1, top5)


def _entries(text: str, where: str) -> Entries:
    parts = text.split()
    matches = [_ENTRY.match(part) for part in parts]
    if len(parts) != BEST or not all(matches):
        raise DataError(f"'{text[:60]}' is not five entries such as ' 42=0.312500'", where=where)
    return tuple((int(m[1]), float(m[2])) for m in matches if m is not None)
