"""Resizing under the names that protocols give it.

``cv2-bilinear`` looks at the four nearest pixels however much it shrinks; ``cv2-area``,
``pillow-bilinear`` and ``pillow-bicubic`` weigh every pixel that falls into one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import UnknownNameError, UsageError
from caffezoo.evaluation.images import load_cv2
from caffezoo.evaluation.protocol import RESIZERS


def resize_pixels(image: NDArray[Any], height: int, width: int, resizer: str) -> NDArray[Any]:
    """Resize an image.

    Parameters
    ----------
    image : uint8 or float32 array (height, width, 3) or (height, width)
    height, width : int
        Wanted, in px.
    resizer : str

    Returns
    -------
    array of the same type

    Raises
    ------
    UnknownNameError
        No such resizer.
    UsageError
        Pillow is not installed.
    """
    if resizer not in RESIZERS:
        raise UnknownNameError("resizer", resizer, RESIZERS)
    library, _, method = resizer.partition("-")
    if library == "cv2":
        cv2 = load_cv2()
        how = cv2.INTER_AREA if method == "area" else cv2.INTER_LINEAR
        return cv2.resize(image, (width, height), interpolation=how)  # type: ignore[no-any-return]
    pillow = load_pillow()
    how = pillow.Resampling.BICUBIC if method == "bicubic" else pillow.Resampling.BILINEAR
    if image.dtype == np.uint8 or image.ndim == 2:
        return np.asarray(pillow.fromarray(np.ascontiguousarray(image)).resize((width, height), how))
    planes = [
        np.asarray(pillow.fromarray(np.ascontiguousarray(image[:, :, k])).resize((width, height), how))
        for k in range(image.shape[2])
    ]
    return np.stack(planes, axis=2)


def load_pillow() -> Any:
    """Import ``PIL.Image``.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise UsageError("this decoder or resizer needs Pillow", hint="pip install 'caffezoo[decoders]'") from None
    return Image
