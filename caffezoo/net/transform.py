"""What happens to a crop before the first layer: part of the network that an engine runs."""

from __future__ import annotations

from dataclasses import dataclass


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
