"""What happens to a crop before the first layer: part of the network that an engine runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Transform:
    """Normalisation ``(x - mean) / std`` of pixels, in the order of the network's channels.

    Attributes
    ----------
    mean, std : tuple of float
        One value a channel, in units of pixel values 0..255.
    mean_image : float32 array (channels, height, width), optional
        A mean for each pixel of the crop, instead of ``mean``.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    mean_image: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)

    @property
    def mean_blob(self) -> NDArray[np.float32]:
        """What is subtracted, float32 (1, channels, 1 or height, 1 or width)."""
        mean = np.array(self.mean, np.float32).reshape(-1, 1, 1) if self.mean_image is None else self.mean_image
        return np.asarray(mean, np.float32)[np.newaxis]

    @property
    def std_blob(self) -> NDArray[np.float64]:
        """What is divided by, float64 (1, channels, 1, 1)."""
        return np.array(self.std, np.float64).reshape(1, -1, 1, 1)


def to_blob(images: np.ndarray, transform: Transform) -> np.ndarray:
    """Return (n, H, W, C) pixels as Caffe's input blob: ``(x - mean) / std`` in float32, NCHW."""
    mean, std = transform.mean_blob, transform.std_blob.astype(np.float32)
    return np.ascontiguousarray((images.astype(np.float32).transpose(0, 3, 1, 2) - mean) / std)
