"""Changes to training images beyond Caffe's crop and mirror, by name: turned, shifted, scaled, other light and colour.

Each is a function of an image (height, width, 3), BGR uint8, and of random numbers, so that a training that goes on
draws what an unbroken one would have drawn. Caffe's own data layers know none of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from caffezoo.errors import UnknownNameError

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]

MAX_TURN_DEGREES = 15.0
MAX_SHIFT = 0.1
MAX_SCALE = 0.2
MAX_LIGHT = 0.4


def turned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn an image by up to 15 degrees, shift it by up to a tenth of its sides and scale it by up to a fifth."""
    import cv2

    height, width = image.shape[:2]
    angle, scale, across, down = rng.uniform(-1, 1, 4) * (MAX_TURN_DEGREES, MAX_SCALE, MAX_SHIFT, MAX_SHIFT)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1 + scale)
    matrix[:, 2] += (across * width, down * height)
    found: np.ndarray = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return found.reshape(image.shape)


def lit(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast and, in colour images, saturation, each by up to two fifths."""
    brightness, contrast, saturation = 1 + rng.uniform(-MAX_LIGHT, MAX_LIGHT, 3)
    x = image.astype(np.float32) * np.float32(brightness)
    x = (x - x.mean()) * np.float32(contrast) + x.mean()
    if image.shape[2] == 3:
        grey = x @ np.array([[0.114], [0.587], [0.299]], np.float32)
        x = grey + (x - grey) * np.float32(saturation)
    found: np.ndarray = np.clip(np.rint(x), 0, 255).astype(np.uint8)
    return found


def both(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn and light an image."""
    return lit(turned(image, rng), rng)


AUGMENTATIONS: dict[str, Augmentation | None] = {"none": None, "turn": turned, "light": lit, "strong": both}


def augmentation(name: str) -> Augmentation | None:
    """Return an augmentation by name; None for ``none``.

    Raises
    ------
    UnknownNameError
    """
    try:
        return AUGMENTATIONS[name]
    except KeyError:
        raise UnknownNameError("augmentation", name, AUGMENTATIONS) from None
