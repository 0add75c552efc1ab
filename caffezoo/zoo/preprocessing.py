"""From an image to a network's input, at one centre crop: the protocol of the published evaluations, to the pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caffezoo.errors import ImageError
from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import resized_size, window_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from caffezoo.formats.preprocessing import Preprocessing


def centre_crop_input(image: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Resize bilinearly, cut the centre, subtract the mean and divide by the standard deviation.

    ``short``: the image, its aspect kept, just covers ``base_size``; ``squash``: both sides become ``base_size``. The
    crop starts at ``int((side - crop_size) / 2)``.

    Parameters
    ----------
    image : uint8 array, shape (height, width, 3)
        BGR, 0..255; for grey networks also (height, width).
    preprocessing : Preprocessing
        With both sizes.

    Returns
    -------
    float32 array, shape (1, channels, crop height, crop width)

    Raises
    ------
    ImageError
        Not such an array, or an image without pixels or too narrow.
    """
    import numpy as np

    from caffezoo.opencv import load_cv2

    cv2 = load_cv2()

    grey = preprocessing.channels == 1
    is_array = isinstance(image, np.ndarray) and image.dtype == np.uint8
    if not is_array or not ((image.ndim == 3 and image.shape[2] == 3) or (grey and image.ndim == 2)):
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"an image is a uint8 array (height, width, 3) in BGR, not {found}")
    height, width = image.shape[:2]
    if min(height, width) < 1:
        raise ImageError(f"an image of {height}x{width} has no pixels")
    base, crop = preprocessing.base_size, preprocessing.crop_size
    assert base is not None
    assert crop is not None
    if grey and image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    size = resized_size(Size(height, width), base, preprocessing.resize)
    resized: NDArray[Any] = cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    pixels = window_of(resized.reshape(*size, preprocessing.channels), crop).astype(np.float32)
    pixels -= np.array(preprocessing.mean, np.float32)
    pixels /= np.array(preprocessing.std, np.float32)
    if preprocessing.channel_order == "RGB":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis], dtype=np.float32)
