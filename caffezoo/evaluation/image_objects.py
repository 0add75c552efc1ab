"""What may stand for an image: a path, the bytes of a file, an array as cv2 reads it, an image of Pillow.

Each becomes what :func:`caffezoo.evaluation.images.read_image` gives for the same picture in a file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.data.base import Dataset
from caffezoo.data.folder import read_file
from caffezoo.errors import ImageError
from caffezoo.evaluation.decoders import decode
from caffezoo.evaluation.images import MAX_IMAGE_PIXELS, Image, load_cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

ImageLike = Any
"""str, path-like, bytes, uint8 array or ``PIL.Image.Image``."""


@dataclass(frozen=True)
class Stored:
    """An image in a data set.

    Attributes
    ----------
    dataset : caffezoo.data.base.Dataset
    place : int or None
        None: a list names it and it is not there.
    name : str
        What messages call it.
    """

    dataset: Dataset
    place: int | None
    name: str

    def content(self) -> bytes | NDArray[np.uint8]:
        """Return the encoded bytes, or raw pixels.

        Raises
        ------
        ImageError
        """
        if self.place is None:
            raise ImageError("no such image", where=self.name)
        try:
            return self.dataset.read(self.place)
        except ImageError as error:
            raise ImageError(error.message, where=self.name, hint=error.hint) from None


def is_pillow(item: object) -> bool:
    """Tell an image of Pillow, without importing Pillow."""
    return any(c.__module__ == "PIL.Image" and c.__name__ == "Image" for c in type(item).__mro__)


def is_image(item: object) -> bool:
    """Tell one image from a sequence of images."""
    if isinstance(item, np.ndarray):
        return item.ndim != 4
    return isinstance(item, str | os.PathLike | bytes | bytearray | memoryview) or is_pillow(item)


def name_of(item: object, number: int) -> str:
    """Return what messages call an image: its path, or ``image 3`` (from 0) where it has none."""
    if isinstance(item, str | os.PathLike):
        return os.fsdecode(item)
    if isinstance(item, Stored):
        return item.name
    path = getattr(item, "filename", "") if is_pillow(item) else ""
    return os.fsdecode(path) if isinstance(path, str | os.PathLike) and path else f"image {number}"


def as_image(item: ImageLike, *, where: str | None = None, grey: bool = False, decoder: str = "cv2") -> Image:
    """Return the pixels of an image, whatever it is given as.

    Parameters
    ----------
    item : str, path-like, bytes, array, PIL.Image.Image or Stored
        Arrays are uint8 of shape (height, width, 3) in the order B, G, R, as ``cv2.imread`` gives them; (height, width)
        and (height, width, 1) are grey, a fourth channel is left out. Of an image of Pillow the EXIF orientation
        is applied, as it is for files.
    where : str, optional
        What error messages call it.
    grey : bool, optional
        One channel is wanted.
    decoder : str, optional
        What decodes files: see :mod:`caffezoo.evaluation.decoders`.

    Returns
    -------
    uint8 array (height, width, 3), or (height, width) for grey
        BGR, 0..255.

    Raises
    ------
    ImageError
        It is no image.
    """
    if isinstance(item, str | os.PathLike):
        return decode(read_file(item), decoder, where=os.fsdecode(item), grey=grey)
    if isinstance(item, bytes | bytearray | memoryview):
        return decode(bytes(item), decoder, where=where, grey=grey)
    if isinstance(item, Stored):
        return _of_stored(item, where, grey, decoder)
    if isinstance(item, np.ndarray):
        return _grey(_of_array(item, where)) if grey else _of_array(item, where)
    if is_pillow(item):
        return _grey(_of_pillow(item, where)) if grey else _of_pillow(item, where)
    raise ImageError(
        f"a {type(item).__module__}.{type(item).__qualname__} is no image",
        where=where,
        hint="give a path, the bytes of a file, a uint8 array (height, width, 3) in B, G, R, or an image of Pillow",
    )


def _of_stored(item: Stored, where: str | None, grey: bool, decoder: str) -> Image:
    content = item.content()
    if not isinstance(content, bytes):
        return _grey(_of_array(content, where)) if grey else _of_array(content, where)
    if item.dataset.decodes_to != "RGB":
        return decode(content, decoder, where=where, grey=grey)
    pixels = np.ascontiguousarray(decode(content, decoder, where=where)[:, :, ::-1])
    return _grey(pixels) if grey else pixels


def _grey(image: Image) -> Image:
    """Return B, G, R pixels as their luma, as cv2 weighs it; of equal channels that is the channel."""
    cv2 = load_cv2()
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[no-any-return]


def _of_array(array: NDArray[Any], where: str | None) -> Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.dtype != np.uint8:
        hint = None
        if array.dtype.kind == "f":
            hint = "pixels are 0..255: `np.uint8(np.round(255 * x))` for 0..1, and B, G, R: `x[..., ::-1]` for R, G, B"
        elif array.ndim == 3 and array.shape[0] in (1, 3):
            hint = "channels stand last: `x.transpose(1, 2, 0)`"
        raise ImageError(
            f"an array image is uint8 (height, width, 3) in B, G, R, not {array.dtype} {array.shape}",
            where=where,
            hint=hint,
        )
    height, width = array.shape[:2]
    if not 1 <= height * width <= MAX_IMAGE_PIXELS:
        raise ImageError(f"{width} x {height} px are not 1..{MAX_IMAGE_PIXELS} pixels", where=where)
    if channels == 1:
        return np.repeat(array.reshape(height, width, 1), 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])


def _of_pillow(image: Any, where: str | None) -> Image:
    from PIL import ImageOps

    width, height = image.size
    if not 1 <= height * width <= MAX_IMAGE_PIXELS:
        raise ImageError(f"{width} x {height} px are not 1..{MAX_IMAGE_PIXELS} pixels", where=where)
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            return _of_array((np.asarray(upright) >> 8).astype(np.uint8), where)
        if upright.mode in ("I", "F"):
            raise ImageError(f"Pillow's mode {upright.mode} does not say what white is", where=where)
        return np.ascontiguousarray(np.asarray(upright.convert("RGB"))[:, :, ::-1])
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises where a file is damaged
        raise ImageError(f"Pillow cannot decode it: {error}", where=where) from error
