"""Rounding float32 to shorter formats and back: to the nearest value, ties to the even one, as IEEE 754 has it.

float16 (binary16) has 11 significant bits and the range 2^-24 to 65504; bfloat16 has 8 and the range of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

FLOAT16_MAX = 65504.0
FLOAT16_TINY = 2.0**-14
"""Smallest normal float16; smaller values lose bits."""
FLOAT16_FLUSH = 2.0**-25
"""Up to this magnitude a value becomes 0: half of the smallest subnormal, and the tie goes to the even 0."""


def round_float16(x: np.ndarray) -> np.ndarray:
    """Return float32 values rounded to float16; beyond 65504 + 16 they are infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(x, np.float32).astype(np.float16).astype(np.float32)


def round_bfloat16(x: np.ndarray) -> np.ndarray:
    """Return float32 values rounded to bfloat16: half of the last kept place is added, less one where that is even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    with np.errstate(over="ignore"):
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    special = (bits & np.uint32(0x7F800000)) == np.uint32(0x7F800000)  # infinities and NaNs have nothing to round
    kept = bits & np.uint32(0xFFFF0000) | ((bits & np.uint32(0x007FFFFF)) != 0) * np.uint32(0x00400000)
    return np.where(special, kept, rounded).astype(np.uint32).view(np.float32).reshape(np.shape(x))


ROUNDINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"float16": round_float16, "bfloat16": round_bfloat16}


def rounded_weights(weights: Mapping[str, Sequence[np.ndarray]], to: str) -> dict[str, tuple[np.ndarray, ...]]:
    """Return every blob rounded, as float32."""
    return {name: tuple(ROUNDINGS[to](blob) for blob in blobs) for name, blobs in weights.items()}
