"""The views of an image under every protocol, to the pixel.

1, 12 and 144 crops are those of soeaver/caffe-model's cls/evaluation_cls.py, whose published errors they reproduce:

- every protocol starts with one resize (bilinear unless it names another) of the 8-bit image to the base size;
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

from caffezoo.evaluation.images import Image
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.resizers import resize_pixels
from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import centre, resized_size

Pixels = NDArray[np.uint8] | NDArray[np.float32]

# Where a view lies in its source: the top left corner in px and whether it is mirrored.
_Place = tuple[int, int, bool]


@dataclass(frozen=True, eq=False)
class View:
    """One view of an image.

    Attributes
    ----------
    pixels : array (height, width, 3) or (height, width)
        BGR, or grey, 0..255; uint8 for one crop, else float32. Mostly a strided window onto a larger image: copy it to
        use it.
    weight : float
        Its share of the image's score; the weights of an image sum to 1.
    """

    pixels: Pixels
    weight: float


def cut_views(image: Image, protocol: Protocol) -> list[View]:
    """Cut the views of an image.

    Parameters
    ----------
    image : uint8 array (height, width, 3) or (height, width)
        BGR, or grey, 0..255.
    protocol : Protocol

    Returns
    -------
    list of View
        Each distinct view once; the weights sum to 1.

    Raises
    ------
    ImageError
        The sides are too unequal; see :func:`caffezoo.formats.preprocessing.resized_size`.
    """
    if protocol.crops != 144:
        bases = protocol.bases
        return [View(v.pixels, v.weight / len(bases)) for base in bases for v in _of_base(image, base, protocol)]
    size = resized_size(Size(*image.shape[:2]), protocol.base_size, protocol.resize)
    fine: Pixels = _resize(image, size, protocol.resizer).astype(np.float32)
    views: list[View] = []
    for base in protocol.bases:
        side = base.height
        scaled = _resize(fine, resized_size(Size(*fine.shape[:2]), base), protocol.resizer)
        height, width = scaled.shape[:2]
        step_y, step_x = centre(height, side), centre(width, side)
        windows = [(step_y * i, step_x * i) for i in range(3)]
        views.extend(_weighted(scaled, windows, base, protocol))
    return views


def _of_base(image: Image, base: Size, protocol: Protocol) -> list[View]:
    """Cut the views of an image that is brought to one base size."""
    resized = _resize(image, resized_size(Size(*image.shape[:2]), base, protocol.resize), protocol.resizer)
    crop = protocol.crop_size
    if protocol.grid is None:
        fine: Pixels = _resize(resized.astype(np.float32), base, protocol.resizer)
        return list(_weighted(fine, [(0, 0)], base, protocol))
    count, mirrored = protocol.grid
    height, width = resized.shape[:2]
    places = Counter(
        (y, x, flipped)
        for y in _steps(height, crop.height, count)
        for x in _steps(width, crop.width, count)
        for flipped in ((False, True) if mirrored else (False,))
    )
    return [View(_window(resized, place, crop), times / protocol.crops) for place, times in places.items()]


def _steps(length: int, window: int, count: int) -> list[int]:
    """Starts in px of ``count`` windows that span a length evenly; the middle for one."""
    if count == 1:
        return [centre(length, window)]
    return [i * (length - window) // (count - 1) for i in range(count)]


def _weighted(source: Pixels, windows: list[tuple[int, int]], size: Size, protocol: Protocol) -> Iterator[View]:
    """Yield the distinct views among the ten or twelve of each window of ``source``, by how often they occur.

    A view is identified by its place in ``source``, so that windows that overlap share the views that coincide. The
    whole window resized to the crop stands under its own corner, unless it has the crop's size already.
    """
    crop = protocol.crop_size
    bottom, right = size.height - crop.height, size.width - crop.width
    middle = (centre(size.height, crop.height), centre(size.width, crop.width))
    corners = [(0, 0), (bottom, right), (0, right), (bottom, 0), middle]
    crops: Counter[_Place] = Counter()
    wholes: Counter[_Place] = Counter()
    for top, left in windows:
        for mirrored in (False, True):
            for y, x in corners:
                # Offset x in the mirrored window is offset right - x in the window itself.
                crops[top + y, left + (right - x if mirrored else x), mirrored] += 1
            if protocol.crops != 10:
                (crops if size == crop else wholes)[top, left, mirrored] += 1
    share = 1.0 / (crops.total() + wholes.total())
    if protocol.crops == 144:
        share /= len(protocol.bases)
    for place, count in crops.items():
        yield View(_window(source, place, crop), count * share)
    squashed: dict[tuple[int, int], Pixels] = {}
    for (top, left, mirrored), count in wholes.items():
        if (top, left) not in squashed:
            squashed[top, left] = _resize(
                source[top : top + size.height, left : left + size.width], crop, protocol.resizer
            )
        yield View(_window(squashed[top, left], (0, 0, mirrored), crop), count * share)


def _window(source: Pixels, place: _Place, size: Size) -> Pixels:
    top, left, mirrored = place
    window: Pixels = source[top : top + size.height, left : left + size.width]
    return window[:, ::-1] if mirrored else window


def _resize(image: Any, size: Size, resizer: str) -> Pixels:
    """Resize; every resizer returns the same pixels where the size is the same."""
    if image.shape[:2] == size:
        return image  # type: ignore[no-any-return]
    return resize_pixels(image, size.height, size.width, resizer)
