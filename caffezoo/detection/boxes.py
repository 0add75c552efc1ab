"""What a detector finds in an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Detection:
    """One object.

    Attributes
    ----------
    label : int
        The network's class; 0 is the background where it has one.
    name : str
        What the class is called; its number where nobody says.
    score : float
    x1, y1, x2, y2 : float
        Corners in pixels of the image; they may lie outside it.
    points : tuple of (float, float)
        x and y of what else was found of it: eyes, nose and corners of the mouth of a face.
    """

    label: int
    name: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float
    points: tuple[tuple[float, float], ...] = ()

    def to_json(self, width: int, height: int) -> dict[str, Any]:
        """Return the object as plain JSON values; ``relative`` are its corners in units of the image's sides."""
        found: dict[str, Any] = {
            "label": self.label,
            "name": self.name,
            "score": round(self.score, 6),
            "box": [round(v, 2) for v in (self.x1, self.y1, self.x2, self.y2)],
            "relative": [round(v, 6) for v in (self.x1 / width, self.y1 / height, self.x2 / width, self.y2 / height)],
        }
        if self.points:
            found["points"] = [[round(x, 2), round(y, 2)] for x, y in self.points]
        return found


def from_rows(
    rows: np.ndarray, width: int, height: int, threshold: float, names: Sequence[str] | None = None
) -> tuple[Detection, ...]:
    """Return the objects of one image, the surest first.

    Parameters
    ----------
    rows : ndarray
        [M, 7]: image, class, score, x1, y1, x2, y2 relative to the image; rows of class -1 say that there is nothing.
    width, height : int
        Of the image, px.
    threshold : float
        The lowest score that counts.
    names : sequence of str, optional
        Of the classes, the background first.
    """
    kept = rows[(rows[:, 1] >= 0) & (rows[:, 2] >= threshold)]
    kept = kept[np.argsort(-kept[:, 2], kind="stable")]
    found = []
    for _, label, score, x1, y1, x2, y2 in kept.tolist():
        name = names[int(label)] if names is not None and int(label) < len(names) else str(int(label))
        found.append(Detection(int(label), name, score, x1 * width, y1 * height, x2 * width, y2 * height))
    return tuple(found)
