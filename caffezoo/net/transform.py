"""What happens to a crop before the first layer: part of the network that an engine runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Transform:
    """Per-channel normalisation ``(x - mean) / std`` of BGR pixels.

    Attributes
    ----------
    mean, std : tuple of float
        B, G, R, in units of pixel values 0..255.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


def to_blob(images: np.ndarray, transform: Transform) -> np.ndarray:
    """Return (n, H, W, 3) pixels as Caffe's input blob: ``(x - mean) / std`` in float32, NCHW."""
    mean, std = np.array(transform.mean, np.float32), np.array(transform.std, np.float32)
    return np.ascontiguousarray(((images.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2))
