"""What an evaluation does to an image before the network sees it: one frozen value, written beside every result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from caffezoo.errors import UsageError
from caffezoo.net.transform import Transform

CROP_COUNTS = (1, 12, 144)
RESIZE_MODES = ("short", "squash")

# Short sides (px) of the 144-crop protocol by crop size (px): the lists of soeaver/caffe-model's cls/evaluation_cls.py.
SCALES_144: dict[int, tuple[int, int, int, int]] = {
    224: (256, 288, 320, 352),
    235: (270, 300, 330, 360),
    299: (320, 352, 384, 416),
    320: (352, 384, 416, 448),
}

MAX_SIDE = 4096  # px; no published network comes near it


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol.

    Parameters
    ----------
    base_size : int
        Side in px to which the short side (``resize="short"``) or both sides (``"squash"``) are brought.
    crop_size : int
        Side in px of the square that enters the network.
    crops : {1, 12, 144}
        Number of views whose softmax outputs are averaged.
    resize : {"short", "squash"}
        ``short`` keeps the aspect ratio, ``squash`` does not.
    mean, std : tuple of three floats
        Blue, green, red in 0..255: the network's input is ``(x - mean) / std``.
    channel_order : {"BGR", "RGB"}
        What the network's first layer takes.
    decoder, resizer : str
        What decodes and resizes; both move an error rate by tenths of a point, so they are part of the protocol.

    Raises
    ------
    UsageError
        Sizes, counts or constants that cannot be.
    """

    base_size: int
    crop_size: int
    crops: int = 1
    resize: str = "short"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channel_order: str = "BGR"
    decoder: str = "cv2"
    resizer: str = "cv2-bilinear"

    def __post_init__(self) -> None:
        for name, value in (("base size", self.base_size), ("crop size", self.crop_size)):
            if not 1 <= value <= MAX_SIDE:
                raise UsageError(f"{name} {value} is not in 1..{MAX_SIDE} px")
        if self.crop_size > self.base_size:
            raise UsageError(
                f"crop size {self.crop_size} does not fit into base size {self.base_size}",
                hint=f"give --base-size {self.crop_size} or more, or a smaller --crop-size",
            )
        if self.crops not in CROP_COUNTS:
            raise UsageError(f"{self.crops} crops are no protocol", hint="choose 1, 12 or 144")
        if self.resize not in RESIZE_MODES:
            raise UsageError(f"resize mode '{self.resize}' is unknown", hint=f"choose {' or '.join(RESIZE_MODES)}")
        if self.crops == 144 and self.crop_size not in SCALES_144:
            sizes = ", ".join(map(str, SCALES_144))
            raise UsageError(
                f"144 crops are not defined for crop size {self.crop_size}", hint=f"they are for crop sizes {sizes}"
            )
        for name, triple in (("mean", self.mean), ("std", self.std)):
            if len(triple) != 3 or not all(math.isfinite(v) for v in triple):
                raise UsageError(f"{name} {triple} is not three finite numbers (blue, green, red)")
        if min(self.std) <= 0:
            raise UsageError(f"std {self.std} holds a value that is not above 0")
        if self.channel_order not in ("BGR", "RGB"):
            raise UsageError(f"channel order '{self.channel_order}' is unknown", hint="choose BGR or RGB")
        if self.resizer != "cv2-bilinear":
            raise UsageError(f"resizer '{self.resizer}' is unknown", hint="the one here is cv2-bilinear")

    @property
    def input_dtype(self) -> str:
        """``uint8`` for one crop, whose pixels come from one resize of the 8-bit image; else ``float32``."""
        return "uint8" if self.crops == 1 else "float32"

    @property
    def transform(self) -> Transform:
        """Mean and std in the order of the network's channels."""
        if self.channel_order == "BGR":
            return Transform(self.mean, self.std)
        return Transform(self.mean[::-1], self.std[::-1])

    @property
    def scales(self) -> Sequence[int]:
        """Short sides in px of the 144-crop protocol (empty for the others)."""
        return SCALES_144[self.crop_size] if self.crops == 144 else ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)
