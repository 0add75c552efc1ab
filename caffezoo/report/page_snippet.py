"""A network's preprocessing as Python that can be copied out of the page and run."""

from __future__ import annotations

from caffezoo.report.published import Record

_SHORT_SIDE = """\
    height, width = image.shape[:2]
    short = min(height, width)
    image = cv2.resize(image, (int(width * base / short), int(height * base / short)))
"""
_BOTH_SIDES = """\
    image = cv2.resize(image, (base, base))
"""


def preprocessing_code(name: str, record: Record) -> str:
    """Return a function that turns an image into the network's input, and how it is called.

    The code needs numpy and OpenCV only; ``caffezoo.network(name).preprocess(image)`` gives the same array.
    """
    p = record["preprocessing"]
    small, large = p["small"], p.get("large")
    mean, std = (f"[{', '.join(f'{v:.10g}' for v in p[key])}]" for key in ("mean", "std"))
    rgb = record["input"].get("channel_order", "BGR") == "RGB"
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
