"""The views of an image under every protocol, to the pixel.

1, 12 and 144 crops are those of soeaver/caffe-model's cls/evaluation_cls.py, whose published errors they reproduce:

- every protocol starts with one bilinear resize of the 8-bit image to the base size;
- 1 crop is the centre window of that image;
- 12 crops: that image, in float, is resized again to base x base, and gives four corners, the centre and the whole
  resized to the crop, then the same six of its mirror image;
- 144 crops: the float image is resized again to four short sides; three square windows along the long side of each give
  the same twelve;
- 10 crops (Caffe's own ``oversample``): the twelve without the two wholes;
- a grid of k x k windows that spans the image as it is after the one resize.

The original normalises, ``(x - mean) / std``, before the second resize. Bilinear interpolation is a weighted mean with
weights that sum to one, and normalisation is affine with positive std, so the two commute: the views here stay in
0..255 and the engine normalises inside the network. In float32 the difference stays below 1e-3 of 255.

Views that are the same pixels by geometry (12 crops where base = crop; the three windows of a square image) are cut
once and carry the sum of the weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import ImageError
from caffezoo.evaluation.images import Image
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.resizers import resize_pixels

Pixels = NDArray[np.uint8] | NDArray[np.float32]

MAX_RESIZED_PIXELS = 1 << 23
"""An image that would have more pixels than this after resizing is refused (at base 256: sides beyond 128:1)."""

# Where a view lies in its source: the top left corner in px and whether it is mirrored.
_Place = tuple[int, int, bool]


@dataclass(frozen=True, eq=False)
class View:
    """One view of an image.

    Attributes
    ----------
    pixels : array (crop, crop, 3)
        BGR 0..255; uint8 for one crop, else float32. Mostly a strided window onto a larger image: copy it to use it.
    weight : float
        Its share of the image's score; the weights of an image sum to 1.
    """

    pixels: Pixels
    weight: float


def resized_sides(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return (height, width) in px with the short side brought to ``short_side``: int(side * short_side / short)."""
    short = min(height, width)
    return height * short_side // short, width * short_side // short


def cut_views(image: Image, protocol: Protocol) -> list[View]:
    """Cut the views of an image.

    Parameters
    ----------
    image : uint8 array (height, width, 3)
        BGR 0..255.
    protocol : Protocol

    Returns
    -------
    list of View
        Each distinct view once; the weights sum to 1.

    Raises
    ------
    ImageError
        The sides are so unequal that the resized image would pass :data:`MAX_RESIZED_PIXELS`.
    """
    if protocol.crops != 144:
        sides = protocol.short_sides
        return [View(v.pixels, v.weight / len(sides)) for side in sides for v in _of_side(image, side, protocol)]
    views: list[View] = []
    fine: Pixels = _to_base(image, protocol.base_size, protocol).astype(np.float32)
    for size in protocol.short_sides:
        scaled = _resize_short(fine, size, protocol.resizer)
        height, width = scaled.shape[:2]
        step_y, step_x = _middle(height, size), _middle(width, size)
        windows = [(step_y * i, step_x * i) for i in range(3)]
        views.extend(_weighted(scaled, windows, size, protocol))
    return views


def _of_side(image: Image, side: int, protocol: Protocol) -> list[View]:
    """Cut the views of an image that is brought to one base size."""
    resized = _to_base(image, side, protocol)
    crop = protocol.crop_size
    if protocol.grid is None:
        fine: Pixels = _resize(resized.astype(np.float32), side, side, protocol.resizer)
        return list(_weighted(fine, [(0, 0)], side, protocol))
    count, mirrored = protocol.grid
    height, width = resized.shape[:2]
    places = Counter(
        (y, x, flipped)
        for y in _steps(height, crop, count)
        for x in _steps(width, crop, count)
        for flipped in ((False, True) if mirrored else (False,))
    )
    return [View(_window(resized, place, crop), times / protocol.crops) for place, times in places.items()]


def _steps(length: int, window: int, count: int) -> list[int]:
    """Starts in px of ``count`` windows that span a length evenly; the middle for one."""
    if count == 1:
        return [_middle(length, window)]
    return [i * (length - window) // (count - 1) for i in range(count)]


def _to_base(image: Image, side: int, protocol: Protocol) -> Pixels:
    if protocol.resize == "squash":
        return _resize(image, side, side, protocol.resizer)
    return _resize_short(image, side, protocol.resizer)


def _weighted(source: Pixels, windows: list[tuple[int, int]], side: int, protocol: Protocol) -> Iterator[View]:
    """Yield the distinct views among the ten or twelve of each square window of ``source``, by how often they occur.

    A view is identified by its place in ``source``, so that windows that overlap share the views that coincide. The
    whole window resized to the crop stands under its own corner, unless it has the crop's size already.
    """
    crop = protocol.crop_size
    last, middle = side - crop, _middle(side, crop)
    corners = [(0, 0), (last, last), (0, last), (last, 0), (middle, middle)]
    crops: Counter[_Place] = Counter()
    wholes: Counter[_Place] = Counter()
    for top, left in windows:
        for mirrored in (False, True):
            for y, x in corners:
                # Offset x in the mirrored window is offset last - x in the window itself.
                crops[top + y, left + (last - x if mirrored else x), mirrored] += 1
            if protocol.crops != 10:
                (crops if side == crop else wholes)[top, left, mirrored] += 1
    share = 1.0 / (crops.total() + wholes.total())
    if protocol.crops == 144:
        share /= len(protocol.short_sides)
    for place, count in crops.items():
        yield View(_window(source, place, crop), count * share)
    squashed: dict[tuple[int, int], Pixels] = {}
    for (top, left, mirrored), count in wholes.items():
        if (top, left) not in squashed:
            squashed[top, left] = _resize(source[top : top + side, left : left + side], crop, crop, protocol.resizer)
        yield View(_window(squashed[top, left], (0, 0, mirrored), crop), count * share)


def _window(source: Pixels, place: _Place, side: int) -> Pixels:
    top, left, mirrored = place
    window: Pixels = source[top : top + side, left : left + side]
    return window[:, ::-1] if mirrored else window


def _middle(length: int, window: int) -> int:
    """Start in px of a centred window: int((length - window) / 2)."""
    return (length - window) // 2


def _resize_short(image: Any, short_side: int, resizer: str) -> Pixels:
    height, width = resized_sides(image.shape[0], image.shape[1], short_side)
    if height * width > MAX_RESIZED_PIXELS:
        raise ImageError(
            f"its sides are too unequal: {image.shape[1]} x {image.shape[0]} px would become {width} x {height}, above"
            f" {MAX_RESIZED_PIXELS} pixels",
            hint="crop the image, or evaluate with a smaller base size",
        )
    return _resize(image, height, width, resizer)


def _resize(image: Any, height: int, width: int, resizer: str) -> Pixels:
    """Resize; every resizer returns the same pixels where the size is the same."""
    if image.shape[:2] == (height, width):
        return image  # type: ignore[no-any-return]
    return resize_pixels(image, height, width, resizer)
