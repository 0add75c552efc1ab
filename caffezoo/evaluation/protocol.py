"""What an evaluation does to an image before the network sees it: one frozen value, written beside every result."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import UnknownNameError, UsageError
from caffezoo.formats.image_size import MAX_SIDE, Size
from caffezoo.formats.mean_file import MeanImage
from caffezoo.formats.preprocessing import Preprocessing, window_of
from caffezoo.net.transform import Transform

OVERSAMPLED = (10, 12, 144)
"""Numbers of crops that have a protocol of their own; others are a grid."""

DECODERS = ("cv2", "pillow", "simplejpeg", "yuv420")
RESIZERS = ("cv2-bilinear", "cv2-area", "pillow-bilinear", "pillow-bicubic")
MAX_GRID = 32

# Short sides (px) of the 144-crop protocol by crop size (px): the lists of soeaver/caffe-model's cls/evaluation_cls.py.
SCALES_144: dict[int | str, tuple[int, ...]] = {
    224: (256, 288, 320, 352),
    235: (270, 300, 330, 360),
    299: (320, 352, 384, 416),
    320: (352, 384, 416, 448),
}


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol.

    Parameters
    ----------
    base_size : Size or int
        In px. ``resize="short"``: the image, its aspect kept, is brought to the smallest size that covers it (for a
        square: the short side becomes its side); ``"squash"``: to this very size.
    crop_size : Size or int
        In px; what enters the network.
    crops : int
        Views whose softmax outputs are averaged: 10, 12 and 144 are published protocols; k² is a grid of k x k windows
        (1: the centre), 2k² the grid and its mirror images.
    resize : {"short", "squash"}
        ``short`` keeps the aspect ratio, ``squash`` does not.
    mean, std : tuple of float
        Blue, green, red in 0..255 (one value for grey): the network's input is ``(x - mean) / std``.
    channel_order : {"BGR", "RGB", "grey"}
        What the network's first layer takes.
    decoder, resizer : str
        What decodes (``cv2-4.10.0``, ``pillow-11.0.0``) and resizes; both move an error rate by tenths of a point, so
        they are part of the protocol.
    mean_image : MeanImage, optional
        A mean for each pixel, of the crop's or the base size; only at one crop.
    scales : tuple of int
        Sides in px of squares: base sizes whose views are averaged, instead of ``base_size``; for 144 crops (36 a
        scale) the image is brought to ``base_size`` first. Empty: the published ones for 144 crops, ``base_size``
        alone for others.
    fully_convolutional : bool
        The network gives scores at several positions, and they are averaged.

    Raises
    ------
    UsageError
        Sizes, counts or constants that cannot be.
    """

    base_size: Size
    crop_size: Size
    crops: int = 1
    resize: str = "short"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channel_order: str = "BGR"
    decoder: str = "cv2"
    resizer: str = "cv2-bilinear"
    mean_image: MeanImage | None = field(default=None, repr=False)
    scales: tuple[int, ...] = ()
    fully_convolutional: bool = False

    def __post_init__(self) -> None:
        checked = self.preprocessing
        object.__setattr__(self, "base_size", checked.base_size)
        object.__setattr__(self, "crop_size", checked.crop_size)
        if self.crops not in OVERSAMPLED and self.grid is None:
            raise UsageError(
                f"{self.crops} crops are no protocol",
                hint="choose 1, 10, 12, 144, or k x k windows (4, 9, 16, ...), twice as many with mirror images",
            )
        for scale in self.scales:
            if not Size.of(scale, "scale").holds(self.crop_size):
                raise UsageError(f"crop size {self.crop_size} does not fit into scale {scale}")
        if self.crops == 144 and not self.scales and self.crop_size.plain not in SCALES_144:
            sizes = ", ".join(map(str, SCALES_144))
            raise UsageError(
                f"144 crops are not defined for crop size {self.crop_size}",
                hint=f"they are for crop sizes {sizes}; --scales gives others",
            )
        if self.decoder.partition("-")[0] not in DECODERS:
            raise UnknownNameError("decoder", self.decoder, DECODERS)
        if self.resizer not in RESIZERS:
            raise UnknownNameError("resizer", self.resizer, RESIZERS)
        if self.fully_convolutional and self.crops not in (1, 2):
            raise UsageError(f"--fully-convolutional sees the whole image once, not {self.crops} crops of it")
        if self.mean_image is not None:
            self._mean_window()

    @classmethod
    def of(cls, preprocessing: Preprocessing, *, crops: int = 1, decoder: str = "cv2", **more: Any) -> Protocol:
        """Return the protocol that shows images after a preprocessing, whose sizes are known."""
        p = preprocessing
        assert p.base_size is not None
        assert p.crop_size is not None
        known = (p.base_size, p.crop_size, crops, p.resize, p.mean, p.std, p.channel_order, decoder)
        return cls(*known, mean_image=p.mean_image, **more)

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to an image, without the views."""
        return Preprocessing(
            self.mean, self.std, self.base_size, self.crop_size, self.resize, self.channel_order, self.mean_image
        )

    @property
    def channels(self) -> int:
        """1 for grey networks, else 3."""
        return 1 if self.channel_order == "grey" else 3

    @property
    def input_dtype(self) -> str:
        """``uint8`` where pixels come from one resize of the 8-bit image; else ``float32``."""
        return "float32" if self.crops in OVERSAMPLED else "uint8"

    @property
    def transform(self) -> Transform:
        """Mean and std in the order of the network's channels."""
        mean_image = self._mean_window() if self.mean_image is not None else None
        if self.channel_order == "RGB":
            return Transform(self.mean[::-1], self.std[::-1], mean_image)
        return Transform(self.mean, self.std, mean_image)

    @property
    def grid(self) -> tuple[int, bool] | None:
        """Windows along each side of a grid of crops, and whether their mirror images are among them; else None."""
        for count, mirrored in ((self.crops, False), (self.crops // 2 if self.crops % 2 == 0 else 0, True)):
            side = math.isqrt(max(0, count))
            if 1 <= side <= MAX_GRID and side * side == count and self.crops not in OVERSAMPLED:
                return side, mirrored
        return None

    @property
    def bases(self) -> tuple[Size, ...]:
        """Sizes in px of the images that views are cut from."""
        if self.crops == 144 or self.scales:
            return tuple(Size(side, side) for side in self.scales or SCALES_144[self.crop_size.plain])
        return (self.base_size,)

    @property
    def views(self) -> int:
        """Views of an image that are averaged."""
        return 36 * len(self.bases) if self.crops == 144 else self.crops * len(self.bases)

    @property
    def distinct_views(self) -> int:
        """Views of an image that is not square: in a base of the crop's size, corners and centre are one."""
        if self.grid is not None:
            return self.views
        windows, each = (3, 12) if self.crops == 144 else (1, self.crops)
        return windows * sum(2 if base == self.crop_size else each for base in self.bases)

    @cached_property  # asked for once an image and network
    def geometry(self) -> tuple[Any, ...]:
        """What an image's views depend on: protocols that share it share the views."""
        sizes = (self.base_size, self.crop_size, self.bases)
        return (*sizes, self.crops, self.resize, self.decoder, self.resizer, self.channels)

    @property
    def name(self) -> str:
        """What stands in results and tables, such as ``12 crops 256/224``."""
        words = ["1 crop" if self.views == 1 else f"{self.views} crops"]
        if self.fully_convolutional:
            words[0] = "fully convolutional" + (", mirrored" if self.crops == 2 else "")
        base = "+".join(map(str, self.scales)) if self.scales else str(self.base_size)
        words.append(f"{base}/{self.crop_size}")
        if self.resize != "short":
            words.append(self.resize)
        if not self.decoder.startswith("cv2"):
            words.append(self.decoder)
        if self.resizer != "cv2-bilinear":
            words.append(self.resizer)
        return " ".join(words)

    def _mean_window(self) -> NDArray[np.float32]:
        """Return the part of the mean image that lies under the centre crop, as Caffe's data layers take it."""
        assert self.mean_image is not None
        channels, *sides = self.mean_image.shape
        size = Size(*sides)
        if channels != self.channels:
            raise UsageError(
                f"the mean has {channels} channels, and the network's images {self.channels}",
                where=self.mean_image.path or None,
            )
        if size not in (self.crop_size, self.base_size):
            raise UsageError(
                f"the mean is of {size} px, neither the crop size {self.crop_size} nor the base size {self.base_size}",
                where=self.mean_image.path or None,
                hint=f"give --base-size {size}, or the mean of each channel as numbers",
            )
        if self.crops != 1:
            raise UsageError(
                f"a mean for each pixel is for the centre crop, not for {self.crops} crops",
                where=self.mean_image.path or None,
                hint="give the mean of each channel as numbers: "
                + " ".join(f"{v:.6g}" for v in self.mean_image.channel_means),
            )
        window: NDArray[np.float32] = window_of(self.mean_image.values.transpose(1, 2, 0), self.crop_size)
        return np.ascontiguousarray(window.transpose(2, 0, 1))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values.

        ``crops`` are those of all scales; sizes are a number, or ``112x96`` where they are not square.
        """
        return {
            **self.preprocessing.to_json(),
            "crops": self.views,
            "decoder": self.decoder,
            "resizer": self.resizer,
            "scales": list(self.scales),
            "fully_convolutional": self.fully_convolutional,
            "name": self.name,
        }


def mirrored_crops(crops: int) -> int:
    """Return the number of crops of a protocol with its mirror images.

    Raises
    ------
    UsageError
        They are in it already.
    """
    grid = Protocol(Size(MAX_SIDE, MAX_SIDE), Size(1, 1), crops).grid if crops not in OVERSAMPLED else None
    if grid is None or grid[1]:
        raise UsageError(f"{crops} crops hold their mirror images already", hint="leave --mirror out")
    return 2 * crops
