"""Pictures of what was found."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

import numpy as np

from caffezoo.detection.boxes import Detection


def draw(image: np.ndarray, found: Iterable[Detection]) -> np.ndarray:
    """Return a copy of an image (BGR) with the boxes, their names and scores in per cent, and their points.

    Lines and letters grow with the image; every class has a colour of its own.
    """
    import cv2

    picture = image.copy()
    height, width = image.shape[:2]
    line = max(1, round(min(height, width) / 300))
    size = max(0.4, min(height, width) / 1000)
    for one in found:
        colour = class_colour(one.label)
        x1, x2 = (int(np.clip(round(v), -1, width)) for v in (one.x1, one.x2))
        y1, y2 = (int(np.clip(round(v), -1, height)) for v in (one.y1, one.y2))
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, line)
        for x, y in one.points:
            cv2.circle(picture, (round(x), round(y)), line + 1, colour, -1)
        text = f"{one.name} {100 * one.score:.0f} %"
        (wide, high), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, line)
        left = int(np.clip(x1, 0, max(width - wide, 0)))
        bottom = y1 - line if y1 - high - base - line >= 0 else min(y1 + high + base + line, height)
        cv2.rectangle(picture, (left, bottom - high - base), (left + wide, bottom), colour, -1)
        place = (left, bottom - base // 2)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), line, cv2.LINE_AA)
    return np.asarray(picture)


def class_colour(label: int) -> tuple[int, int, int]:
    """Return a dark colour of a class (BGR); neighbours differ."""
    red, green, blue = colorsys.hsv_to_rgb((0.33 + 0.381966 * (label - 1)) % 1, 0.85, 0.65)
    return round(255 * blue), round(255 * green), round(255 * red)
