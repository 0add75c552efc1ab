"""What turns an image into a network's input, as one frozen value: sizes, mean, std, order of channels.

Everything that resizes and cuts asks this module for its numbers, so that each says and refuses the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caffezoo.errors import ImageError, UsageError
from caffezoo.formats.image_size import Size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffezoo.formats.mean_file import MeanImage

Levels = tuple[float, ...]

RESIZE_MODES = ("short", "squash")
CHANNEL_ORDERS = ("BGR", "RGB", "grey")

MAX_RESIZED_PIXELS = 1 << 23
"""An image that would have more pixels than this after resizing is refused (at base 256: sides beyond 128:1)."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize to a base size, cut the crop, then ``(pixel - mean) / std`` for each channel.

    Attributes
    ----------
    mean, std : tuple of float
        Blue, green, red (one value for grey), in units of pixels 0..255.
    base_size, crop_size : Size or None
        In px; also given as ``224`` or ``"112x96"``. None: not known.
    resize : {"short", "squash"}
        ``short``: the image, its aspect kept, just covers the base size; ``squash``: it becomes the base size.
    channel_order : {"BGR", "RGB", "grey"}
        What the network's first layer takes.
    mean_image : MeanImage, optional
        A mean for each pixel, instead of ``mean``.

    Raises
    ------
    UsageError
        Values that cannot be.
    """

    mean: Levels = (0.0, 0.0, 0.0)
    std: Levels = (1.0, 1.0, 1.0)
    base_size: Size | None = None
    crop_size: Size | None = None
    resize: str = "short"
    channel_order: str = "BGR"
    mean_image: MeanImage | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("base_size", "crop_size"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, Size.of(value, name.replace("_", " ")))
        check_values(self.mean, self.std, self.resize, self.channel_order)
        if self.base_size and self.crop_size:
            check_fit(self.base_size, self.crop_size)

    @property
    def channels(self) -> int:
        """1 for grey networks, else 3."""
        return 1 if self.channel_order == "grey" else 3

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        sizes = {name: getattr(self, name) for name in ("base_size", "crop_size")}
        return {
            **{name: size and size.plain for name, size in sizes.items()},
            "resize": self.resize,
            "mean": list(self.mean),
            "std": list(self.std),
            "channel_order": self.channel_order,
            "mean_image_sha256": self.mean_image.sha256 if self.mean_image else None,
        }


def check_values(mean: Sequence[float], std: Sequence[float], resize: str, channel_order: str) -> None:
    """Refuse constants that cannot be.

    Raises
    ------
    UsageError
    """
    if resize not in RESIZE_MODES:
        raise UsageError(f"resize mode '{resize}' is unknown", hint=f"choose {' or '.join(RESIZE_MODES)}")
    if channel_order not in CHANNEL_ORDERS:
        raise UsageError(f"channel order '{channel_order}' is unknown", hint="choose BGR, RGB or grey")
    channels, names = (1, "one finite number") if channel_order == "grey" else (3, "three finite numbers")
    order = "" if channels == 1 else " (blue, green, red)"
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != channels or not all(math.isfinite(v) for v in values):
            raise UsageError(f"{name} {tuple(values)} is not {names}{order}")
    if min(std) <= 0:
        raise UsageError(f"std {tuple(std)} holds a value that is not above 0")


def check_fit(base: Size, crop: Size) -> None:
    """Refuse a crop that is larger than the image that it is cut from.

    Raises
    ------
    UsageError
    """
    if not base.holds(crop):
        raise UsageError(
            f"crop size {crop} does not fit into base size {base}",
            hint=f"give --base-size {crop} or more, or a smaller --crop-size",
        )


def resized_size(image: Size, base: Size, resize: str = "short") -> Size:
    """Return what an image is resized to.

    Parameters
    ----------
    image, base : Size
    resize : {"short", "squash"}
        ``short``: the smallest size of the image's aspect that covers ``base``; for a square its short side becomes
        ``base`` and the long one ``int(side * base / short)``.

    Raises
    ------
    ImageError
        The image's sides are so unequal that it would pass :data:`MAX_RESIZED_PIXELS`.
    """
    if resize == "squash":
        return base
    # The side that needs the larger factor becomes the base's; compared as integers, so that no rounding decides.
    if base.height * image.width >= base.width * image.height:
        size = Size(base.height, image.width * base.height // image.height)
    else:
        size = Size(image.height * base.width // image.width, base.width)
    if size.height * size.width > MAX_RESIZED_PIXELS:
        raise ImageError(
            f"its sides are too unequal: {image.width} x {image.height} px would become {size.width} x {size.height},"
            f" above {MAX_RESIZED_PIXELS} pixels",
            hint="crop the image, or use a smaller base size",
        )
    return size


def centre(length: int, window: int) -> int:
    """Return the start in px of a centred window: ``int((length - window) / 2)``."""
    return (length - window) // 2


def window_of(image: NDArray[Any], crop: Size) -> NDArray[Any]:
    """Return the centre window of an image (height, width, ...)."""
    top, left = centre(image.shape[0], crop.height), centre(image.shape[1], crop.width)
    return image[top : top + crop.height, left : left + crop.width]
