"""A network's preprocessing as Python that can be copied out of the page and run."""

from __future__ import annotations

from typing import Any

from caffezoo.formats.image_size import Size
from caffezoo.report.published import Record

SIZES = ("base_size", "crop_size")

_SHORT_SIDE = """\
    height, width = image.shape[:2]
    short = min(height, width)
    image = cv2.resize(image, (int(width * base / short), int(height * base / short)))
"""
_BOTH_SIDES = """\
    image = cv2.resize(image, (base, base))
"""
_COVERING = """\
    height, width = image.shape[:2]
    if base[0] * width >= base[1] * height:
        image = cv2.resize(image, (width * base[0] // height, base[0]))
    else:
        image = cv2.resize(image, (base[1], height * base[1] // width))
"""
_BOTH_OF_TWO = """\
    image = cv2.resize(image, (base[1], base[0]))
"""
_GREY = "    image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)\n"


def preprocessing_code(name: str, record: Record) -> str:
    """Return a function that turns an image into the network's input, and how it is called.

    The code needs numpy and OpenCV only; ``caffezoo.network(name).preprocess(image)`` gives the same array.
    """
    p = record["preprocessing"]
    small, large = p["small"], p.get("large")
    mean, std = (f"[{', '.join(f'{v:.10g}' for v in p[key])}]" for key in ("mean", "std"))
    order = record["input"].get("channel_order", "BGR")
    rgb = order == "RGB"
    if order == "grey" or any(isinstance(s[key], str) for s in (small, large) if s for key in SIZES):
        return _of_two_numbers(name, p, mean, std, order)
    usage = ['x = preprocess(cv2.imread("photo.jpg"))']
    if large:
        usage.append(f"# at the large size: preprocess(image, base={large['base_size']}, crop={large['crop_size']})")
    return (
        "import cv2\nimport numpy as np\n\n\n"
        f"def preprocess(image, base={small['base_size']}, crop={small['crop_size']}):\n"
        f'    """Turn a BGR image, 0..255, into the input of {name}: (1, 3, crop, crop)."""\n'
        + (_BOTH_SIDES if p.get("resize", "short") == "squash" else _SHORT_SIDE)
        + "    top, left = (image.shape[0] - crop) // 2, (image.shape[1] - crop) // 2\n"
        "    pixels = image[top : top + crop, left : left + crop].astype(np.float32)\n"
        f"    pixels -= np.array({mean}, np.float32)  # of blue, green, red\n"
        f"    pixels /= np.array({std}, np.float32)\n"
        + ("    pixels = pixels[:, :, ::-1]  # this network takes RGB\n" if rgb else "")
        + "    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis])\n\n\n"
        + "\n".join(usage)
        + "\n"
    )


def _of_two_numbers(name: str, p: Any, mean: str, std: str, order: str) -> str:
    """Return the function of a network whose images are not square, or grey."""
    base, crop = (tuple(Size.of(p["small"][key])) for key in SIZES)
    channels = 1 if order == "grey" else 3
    usage = ['x = preprocess(cv2.imread("photo.jpg"))']
    if p.get("large"):
        wide, cut = (tuple(Size.of(p["large"][key])) for key in SIZES)
        usage.append(f"# at the large size: preprocess(image, base={wide}, crop={cut})")
    return (
        "import cv2\nimport numpy as np\n\n\n"
        f"def preprocess(image, base={base}, crop={crop}):  # height, width\n"
        f'    """Turn a BGR image, 0..255, into the input of {name}: (1, {channels}, height, width)."""\n'
        + (_GREY if order == "grey" else "")
        + (_BOTH_OF_TWO if p.get("resize", "short") == "squash" else _COVERING)
        + "    top, left = (image.shape[0] - crop[0]) // 2, (image.shape[1] - crop[1]) // 2\n"
        "    pixels = image[top : top + crop[0], left : left + crop[1]].astype(np.float32)\n"
        + ("    pixels = pixels[:, :, np.newaxis]\n" if order == "grey" else "")
        + f"    pixels -= np.array({mean}, np.float32)"
        + ("\n" if order == "grey" else "  # of blue, green, red\n")
        + f"    pixels /= np.array({std}, np.float32)\n"
        + ("    pixels = pixels[:, :, ::-1]  # this network takes RGB\n" if order == "RGB" else "")
        + "    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis])\n\n\n"
        + "\n".join(usage)
        + "\n"
    )
