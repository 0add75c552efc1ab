"""The views of an image under the 1, 12 and 144-crop protocols, to the pixel.

The protocol is that of soeaver/caffe-model's cls/evaluation_cls.py, whose published error rates it reproduces:

- every protocol starts with one bilinear resize of the 8-bit image to the base size;
- 1 crop is the centre window of that image;
- 12 crops: that image, in float, is resized again to base x base, and gives four corners, the centre and the whole
  resized to the crop, then the same six of its mirror image;
- 144 crops: the float image is resized again to four short sides; three square windows along the long side of each give
  the same twelve.

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
from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import centre, resized_size, window_of
from caffezoo.opencv import load_cv2

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
    base = protocol.base_size
    resized = _resize(image, resized_size(Size(*image.shape[:2]), base, protocol.resize))
    if protocol.crops == 1:
        return [View(window_of(resized, protocol.crop_size), 1.0)]
    fine: Pixels = resized.astype(np.float32)
    if protocol.crops == 12:
        return list(_weighted(_resize(fine, base), [(0, 0)], base, protocol))
    views: list[View] = []
    for side in protocol.scales:
        size = Size(side, side)
        scaled = _resize(fine, resized_size(Size(*fine.shape[:2]), size))
        height, width = scaled.shape[:2]
        step_y, step_x = centre(height, side), centre(width, side)
        windows = [(step_y * i, step_x * i) for i in range(3)]
        views.extend(_weighted(scaled, windows, size, protocol))
    return views


def _weighted(source: Pixels, windows: list[tuple[int, int]], size: Size, protocol: Protocol) -> Iterator[View]:
    """Yield the distinct views among the twelve of each window of ``source``, weighted by how often they occur.

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
            (crops if size == crop else wholes)[top, left, mirrored] += 1
    share = 1.0 / protocol.crops
    for place, count in crops.items():
        yield View(_window(source, place, crop), count * share)
    squashed: dict[tuple[int, int], Pixels] = {}
    for (top, left, mirrored), count in wholes.items():
        if (top, left) not in squashed:
            squashed[top, left] = _resize(source[top : top + size.height, left : left + size.width], crop)
        yield View(_window(squashed[top, left], (0, 0, mirrored), crop), count * share)


def _window(source: Pixels, place: _Place, size: Size) -> Pixels:
    top, left, mirrored = place
    window: Pixels = source[top : top + size.height, left : left + size.width]
    return window[:, ::-1] if mirrored else window


def _resize(image: Any, size: Size) -> Pixels:
    """Resize bilinearly; cv2 returns the same pixels where the size is the same."""
    if image.shape[:2] == size:
        return image  # type: ignore[no-any-return]
    cv2 = load_cv2()
    return cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_LINEAR)  # type: ignore[no-any-return]
