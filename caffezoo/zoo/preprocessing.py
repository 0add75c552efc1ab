"""From an image to a network's input, at one centre crop: the protocol of the published evaluations, to the pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from caffezoo.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from caffezoo.zoo.schema import Preset

MAX_SIDE = 65_536


def centre_crop_input(
    image: NDArray[np.uint8], preset: Preset, channel_order: Literal["BGR", "RGB"] = "BGR"
) -> NDArray[np.float32]:
    """Resize bilinearly, cut the centre, subtract the mean and divide by the standard deviation.

    ``short``: the short side becomes ``base_size``, the long one ``int(side * base_size / short)``; ``squash``: both
    sides become ``base_size``. The crop starts at ``int((side - crop_size) / 2)``.

    Parameters
    ----------
    image : uint8 array, shape (height, width, 3)
        BGR, 0..255.
    preset : Preset
        Sizes in px, mean and std in 0..255 (BGR).
    channel_order : {'BGR', 'RGB'}
        The order that the network takes.

    Returns
    -------
    float32 array, shape (1, 3, crop_size, crop_size)

    Raises
    ------
    ImageError
        Not such an array, or an image without pixels.
    """
    import cv2
    import numpy as np

    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"an image is a uint8 array (height, width, 3) in BGR, not {found}")
    height, width = image.shape[:2]
    if min(height, width) < 1:
        raise ImageError(f"an image of {height}x{width} has no pixels")
    base, crop = preset.base_size, preset.crop_size
    if preset.resize == "squash":
        size = (base, base)
    else:
        short = min(height, width)
        size = (int(width * base / short), int(height * base / short))
        if max(size) > MAX_SIDE:
            raise ImageError(f"an image of {width}x{height} is too narrow: resized it is {max(size)} px long")
    resized: NDArray[Any] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    top, left = int((size[1] - crop) / 2), int((size[0] - crop) / 2)
    pixels = resized[top : top + crop, left : left + crop].astype(np.float32)
    pixels -= np.array(preset.mean, np.float32)
    pixels /= np.array(preset.std, np.float32)
    if channel_order == "RGB":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis], dtype=np.float32)
