"""What an evaluation does to an image before the network sees it: one frozen value, written beside every result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import UsageError
from caffezoo.formats.image_size import Size
from caffezoo.formats.mean_file import MeanImage
from caffezoo.formats.preprocessing import Preprocessing, window_of
from caffezoo.net.transform import Transform

CROP_COUNTS = (1, 12, 144)

# Short sides (px) of the 144-crop protocol by crop size (px): the lists of soeaver/caffe-model's cls/evaluation_cls.py.
SCALES_144: dict[int, tuple[int, int, int, int]] = {
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
    crops : {1, 12, 144}
        Number of views whose softmax outputs are averaged.
    resize : {"short", "squash"}
        ``short`` keeps the aspect ratio, ``squash`` does not.
    mean, std : tuple of float
        Blue, green, red in 0..255 (one value for grey): the network's input is ``(x - mean) / std``.
    channel_order : {"BGR", "RGB", "grey"}
        What the network's first layer takes.
    decoder, resizer : str
        What decodes and resizes; both move an error rate by tenths of a point, so they are part of the protocol.
    mean_image : MeanImage, optional
        A mean for each pixel, of the crop's or the base size; only at one crop.

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

    def __post_init__(self) -> None:
        checked = self.preprocessing
        object.__setattr__(self, "base_size", checked.base_size)
        object.__setattr__(self, "crop_size", checked.crop_size)
        if self.crops not in CROP_COUNTS:
            raise UsageError(f"{self.crops} crops are no protocol", hint="choose 1, 12 or 144")
        if self.crops == 144 and self.crop_size.plain not in SCALES_144:
            sizes = ", ".join(map(str, SCALES_144))
            raise UsageError(
                f"144 crops are not defined for crop size {self.crop_size}", hint=f"they are for crop sizes {sizes}"
            )
        if self.resizer != "cv2-bilinear":
            raise UsageError(f"resizer '{self.resizer}' is unknown", hint="the one here is cv2-bilinear")

        if self.mean_image is not None:
            self._mean_window()

    @classmethod
    def of(cls, preprocessing: Preprocessing, *, crops: int = 1, decoder: str = "cv2") -> Protocol:
        """Return the protocol that shows images after a preprocessing, whose sizes are known."""
        p = preprocessing
        assert p.base_size is not None
        assert p.crop_size is not None
        return cls(
            p.base_size, p.crop_size, crops, p.resize, p.mean, p.std, p.channel_order, decoder, mean_image=p.mean_image
        )

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
        """``uint8`` for one crop, whose pixels come from one resize of the 8-bit image; else ``float32``."""
        return "uint8" if self.crops == 1 else "float32"

    @property
    def transform(self) -> Transform:
        """Mean and std in the order of the network's channels."""
        mean_image = self._mean_window() if self.mean_image is not None else None
        if self.channel_order == "RGB":
            return Transform(self.mean[::-1], self.std[::-1], mean_image)
        return Transform(self.mean, self.std, mean_image)

    @property
    def scales(self) -> Sequence[int]:
        """Short sides in px of the 144-crop protocol (empty for the others)."""
        return SCALES_144[self.crop_size.height] if self.crops == 144 else ()

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
        """Return the fields as plain JSON values; sizes are a number, or ``112x96`` where they are not square."""
        return {
            **self.preprocessing.to_json(),
            "crops": self.crops,
            "decoder": self.decoder,
            "resizer": self.resizer,
        }
