"""What an evaluation does to an image before the network sees it: one frozen value, written beside every result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from caffezoo.errors import UsageError
from caffezoo.net.transform import Transform

OVERSAMPLED = (10, 12, 144)
"""Numbers of crops that have a protocol of their own; others are a grid."""

RESIZE_MODES = ("short", "squash")
DECODERS = ("cv2", "pillow", "simplejpeg")
RESIZERS = ("cv2-bilinear", "cv2-area", "pillow-bilinear", "pillow-bicubic")

# Short sides (px) of the 144-crop protocol by crop size (px): the lists of soeaver/caffe-model's cls/evaluation_cls.py.
SCALES_144: dict[int, tuple[int, ...]] = {
    224: (256, 288, 320, 352),
    235: (270, 300, 330, 360),
    299: (320, 352, 384, 416),
    320: (352, 384, 416, 448),
}

MAX_SIDE = 4096  # px; no published network comes near it
MAX_GRID = 32


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol.

    Parameters
    ----------
    base_size : int
        Side in px to which the short side (``resize="short"``) or both sides (``"squash"``) are brought.
    crop_size : int
        Side in px of the square that enters the network.
    crops : int
        Views whose softmax outputs are averaged: 10, 12 and 144 are published protocols; k² is a grid of k x k windows
        (1: the centre), 2k² the grid and its mirror images.
    resize : {"short", "squash"}
        ``short`` keeps the aspect ratio, ``squash`` does not.
    mean, std : tuple of three floats
        Blue, green, red in 0..255: the network's input is ``(x - mean) / std``.
    channel_order : {"BGR", "RGB"}
        What the network's first layer takes.
    decoder, resizer : str
        What decodes (``cv2-4.10.0``, ``pillow-11.0.0``) and resizes; both move an error rate by tenths of a point, so
        they are part of the protocol.
    scales : tuple of int
        Base sizes in px whose views are averaged; instead of ``base_size``, but for 144 crops (36 a scale), whose image
        is brought to ``base_size`` first. Empty: the published ones for 144 crops, ``base_size`` alone for others.
    fully_convolutional : bool
        The network gives scores at several positions, and they are averaged.

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
    scales: tuple[int, ...] = ()
    fully_convolutional: bool = False

    def __post_init__(self) -> None:
        sizes = [("base size", self.base_size), ("crop size", self.crop_size), *(("scale", s) for s in self.scales)]
        for name, value in sizes:
            if not 1 <= value <= MAX_SIDE:
                raise UsageError(f"{name} {value} is not in 1..{MAX_SIDE} px")
        if self.crop_size > self.base_size and not (self.scales and self.crops != 144):
            raise UsageError(
                f"crop size {self.crop_size} does not fit into base size {self.base_size}",
                hint=f"give --base-size {self.crop_size} or more, or a smaller --crop-size",
            )
        if self.scales and min(self.scales) < self.crop_size:
            raise UsageError(f"crop size {self.crop_size} does not fit into scale {min(self.scales)}")
        if self.crops not in OVERSAMPLED and self.grid is None:
            raise UsageError(
                f"{self.crops} crops are no protocol",
                hint="choose 1, 10, 12, 144, or k x k windows (4, 9, 16, ...), twice as many with mirror images",
            )
        if self.resize not in RESIZE_MODES:
            raise UsageError(f"resize mode '{self.resize}' is unknown", hint=f"choose {' or '.join(RESIZE_MODES)}")
        if self.crops == 144 and not self.scales and self.crop_size not in SCALES_144:
            sizes_144 = ", ".join(map(str, SCALES_144))
            raise UsageError(
                f"144 crops are not defined for crop size {self.crop_size}",
                hint=f"they are for crop sizes {sizes_144}; --scales gives others",
            )
        for name, triple in (("mean", self.mean), ("std", self.std)):
            if len(triple) != 3 or not all(math.isfinite(v) for v in triple):
                raise UsageError(f"{name} {triple} is not three finite numbers (blue, green, red)")
        if min(self.std) <= 0:
            raise UsageError(f"std {self.std} holds a value that is not above 0")
        if self.channel_order not in ("BGR", "RGB"):
            raise UsageError(f"channel order '{self.channel_order}' is unknown", hint="choose BGR or RGB")
        if self.decoder.partition("-")[0] not in DECODERS:
            raise UsageError(f"decoder '{self.decoder}' is unknown", hint=f"choose {', '.join(DECODERS)}")
        if self.resizer not in RESIZERS:
            raise UsageError(f"resizer '{self.resizer}' is unknown", hint=f"choose {', '.join(RESIZERS)}")
        if self.fully_convolutional and self.crops not in (1, 2):
            raise UsageError(f"--fully-convolutional sees the whole image once, not {self.crops} crops of it")

    @property
    def grid(self) -> tuple[int, bool] | None:
        """Windows along each side of a grid of crops, and whether their mirror images are among them; else None."""
        for count, mirrored in ((self.crops, False), (self.crops // 2 if self.crops % 2 == 0 else 0, True)):
            side = math.isqrt(max(0, count))
            if 1 <= side <= MAX_GRID and side * side == count and self.crops not in OVERSAMPLED:
                return side, mirrored
        return None

    @property
    def input_dtype(self) -> str:
        """``uint8`` where pixels come from one resize of the 8-bit image; else ``float32``."""
        return "float32" if self.crops in OVERSAMPLED else "uint8"

    @property
    def transform(self) -> Transform:
        """Mean and std in the order of the network's channels."""
        if self.channel_order == "BGR":
            return Transform(self.mean, self.std)
        return Transform(self.mean[::-1], self.std[::-1])

    @property
    def short_sides(self) -> Sequence[int]:
        """Short sides in px of the images that views are cut from."""
        if self.scales:
            return self.scales
        return SCALES_144[self.crop_size] if self.crops == 144 else (self.base_size,)

    @property
    def views(self) -> int:
        """Views of an image that are averaged."""
        return 36 * len(self.short_sides) if self.crops == 144 else self.crops * len(self.short_sides)

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What an image's views depend on: protocols that share it share the views."""
        return (
            self.base_size,
            self.crop_size,
            self.crops,
            self.resize,
            tuple(self.short_sides),
            self.decoder,
            self.resizer,
        )

    @property
    def name(self) -> str:
        """What stands in results and tables, such as ``12 crops 256/224``."""
        crops = "1 crop" if self.views == 1 else f"{self.views} crops"
        base = "+".join(map(str, self.short_sides)) if self.scales else str(self.base_size)
        words = [crops, f"{base}/{self.crop_size}"]
        if self.fully_convolutional:
            words[0] = "fully convolutional" + (", mirrored" if self.crops == 2 else "")
        if self.resize != "short":
            words.append(self.resize)
        if not self.decoder.startswith("cv2"):
            words.append(self.decoder)
        if self.resizer != "cv2-bilinear":
            words.append(self.resizer)
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, and the name."""
        return {**asdict(self), "scales": list(self.short_sides) if self.scales else [], "name": self.name}


def mirrored_crops(crops: int) -> int:
    """Return the number of crops of a protocol with its mirror images.

    Raises
    ------
    UsageError
        They are in it already.
    """
    grid = Protocol(MAX_SIDE, 1, crops).grid if crops not in OVERSAMPLED else None
    if grid is None or grid[1]:
        raise UsageError(f"{crops} crops hold their mirror images already", hint="leave --mirror out")
    return 2 * crops
