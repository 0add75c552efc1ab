"""The sizes that images are brought to, where the network's own files and flags leave them open: by which rule."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from caffezoo.errors import NetworkError, UsageError
from caffezoo.formats.image_size import Size
from caffezoo.formats.mean_file import MeanImage
from caffezoo.formats.preprocessing import Preprocessing

USUAL_BASE = 256  # px; the short side that ImageNet's networks of 224 to 256 px are shown
SMALL_PART = 4  # a crop that is less than a quarter of the image is told
SMALLEST_USUAL = 192  # px; inputs below it are not cut out of images of 256 px


def image_input(inputs: Mapping[str, tuple[int, ...]], where: str) -> tuple[int, Size]:
    """Return channels and size of a network's image input; labels of a training file may stand beside it.

    Raises
    ------
    NetworkError
        It has none, or several.
    """
    shapes = [shape for shape in inputs.values() if len(shape) == 4]
    if len(shapes) != 1 or shapes[0][1] not in (1, 3):
        raise NetworkError(
            f"its inputs are {', '.join(f'{n} {list(s)}' for n, s in inputs.items())}, not one image of one or three"
            " channels",
            where=where,
        )
    _, channels, height, width = shapes[0]
    return channels, Size(height, width)


def choose_sizes(
    known: Preprocessing, own: Size, *, base: Size | None = None, crop: Size | None = None, crops: int = 1
) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return preprocessing with both sizes, and what rules they are by.

    Parameters
    ----------
    known : Preprocessing
    own : Size
        Of the network's input in its prototxt.
    base, crop : Size, optional
        Asked for.
    crops : int, optional
        Views an image; a mean for each pixel is for one.

    Raises
    ------
    UsageError
        Sizes that cannot be, or a base size that nothing tells and no rule gives.
    """
    notes = []
    crop = crop or known.crop_size or own
    base = base or known.base_size
    image = known.mean_image
    if base is None and image is not None and (mean := _size(image)).holds(crop):
        base = mean
        notes.append(f"base size: {base} px, that of the mean image")
    if base is None:
        base, rule = _usual_base(crop)
        notes.append(f"base size: {base} px, {rule}; --base-size says otherwise")
    if base.height * base.width > SMALL_PART * crop.height * crop.width:
        part = crop.height * crop.width / (base.height * base.width)
        notes.append(f"the crop of {crop} px is {part:.1%} of an image of {base} px")
    if image is not None and (crops != 1 or _size(image) not in (crop, base)):
        why = f"{crops} crops see other places" if crops != 1 else f"neither crop {crop} nor base {base} px"
        values = " ".join(f"{v:.6g}" for v in known.mean)
        notes.append(f"the mean image of {_size(image)} px is used as the mean of each channel, {values}: {why}")
        image = None
    elif image is not None:
        notes.append(f"the mean of {os.path.basename(image.path)} is subtracted for each pixel ({_size(image)} px)")
    return replace(known, base_size=base, crop_size=crop, mean_image=image), tuple(notes)


def _size(image: MeanImage) -> Size:
    return Size(*image.shape[1:])


def _usual_base(crop: Size) -> tuple[Size, str]:
    if max(crop) > USUAL_BASE:
        raise UsageError(
            f"no base size is known for crop size {crop}", hint=f"give --base-size {crop} or more, or {crop} itself"
        )
    if min(crop) < SMALLEST_USUAL:
        return crop, f"the crop's, as for all inputs below {SMALLEST_USUAL} px of which nothing tells it"
    return Size(USUAL_BASE, USUAL_BASE), f"the usual one for inputs of {SMALLEST_USUAL} to {USUAL_BASE} px"
