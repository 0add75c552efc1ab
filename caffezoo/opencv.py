"""The one cv2 of this Python, whichever package it is from.

Four packages on PyPI install the same module: opencv-python, opencv-python-headless, opencv-contrib-python and
opencv-contrib-python-headless. A package that requires one of them overwrites another that is there, and pip does not
see it. So caffezoo requires none: its extra ``opencv`` brings the headless one, for whoever has none yet.
"""

from __future__ import annotations

import os
import re
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from caffezoo.errors import UsageError

PACKAGES = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
OLDEST = (4, 9)
_SILENT = 0
MAX_IMAGE_PIXELS = 1 << 26
"""Images above this many pixels (8192 x 8192; 201 MB decoded) are refused: a small file can claim gigabytes."""


@cache  # asked for several times an image
def load_cv2() -> Any:
    """Import cv2, with its own pixel limit lowered to :data:`MAX_IMAGE_PIXELS` and its log silent.

    cv2's limit is read from the environment once, at its first import.

    Raises
    ------
    UsageError
        There is none, it cannot be loaded, or it is older than 4.9.
    """
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_IMAGE_PIXELS))
    try:
        import cv2
    except ImportError as error:
        # cv2 that is there and fails says why: no libGL on a server, another numpy than it was built for.
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded: {error}"
        raise UsageError(f"images need OpenCV's cv2, which {why}", hint="pip install opencv-python-headless") from None
    _check(str(cv2.__version__))
    # A bad image is reported once, by ImageError, and not on stderr by the decoder.
    (cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel)(_SILENT)  # 4.13 moved it
    return cv2


@cache
def _check(found: str) -> None:
    numbers = tuple(int(n) for n in re.findall(r"\d+", found)[:2])
    if numbers < OLDEST:
        raise UsageError(
            f"cv2 is {found}, 4.9 is the oldest that works here", hint="pip install -U opencv-python-headless"
        )
    installed = installed_packages()
    if len(installed) > 1:
        names = " and ".join(f"{name} {number}" for name, number in installed.items())
        warnings.warn(
            f"{names} overwrite each other's cv2: uninstall them all, then install the one that you want", stacklevel=3
        )


def installed_packages() -> dict[str, str]:
    """Return the versions of the packages with a cv2 that are installed, by name."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
