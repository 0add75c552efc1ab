"""Reading one image as the original evaluation did: 8-bit BGR, whatever the file holds, through cv2.

Greyscale, CMYK, palette, 16-bit and alpha images become three 8-bit channels exactly as ``cv2.imread`` makes them
(EXIF orientation is applied). Whatever cv2 cannot decode in full raises :class:`~caffezoo.errors.ImageError`.
"""

from __future__ import annotations

import os
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.data.base import MAX_IMAGE_BYTES
from caffezoo.data.folder import read_file
from caffezoo.errors import ImageError
from caffezoo.opencv import MAX_IMAGE_PIXELS as MAX_IMAGE_PIXELS
from caffezoo.opencv import load_cv2 as load_cv2

Image = NDArray[np.uint8]

MAX_FILE_BYTES = MAX_IMAGE_BYTES

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def read_image(path: str | os.PathLike[str], *, grey: bool = False) -> Image:
    """Read and decode an image file.

    Parameters
    ----------
    path : path-like
    grey : bool, optional
        Decode to one channel, as Caffe's data layers do with ``is_color: false``.

    Returns
    -------
    uint8 array (height, width, 3), or (height, width) for grey
        BGR, 0..255.

    Raises
    ------
    ImageError
        Missing, a directory, empty, not an image, truncated, or above the limits of this module.
    """
    return decode_image(read_file(path), where=os.fspath(path), grey=grey)


def decode_image(
    data: bytes, *, where: str | None = None, max_pixels: int = MAX_IMAGE_PIXELS, grey: bool = False
) -> Image:
    """Decode the bytes of an image file.

    Parameters
    ----------
    data : bytes
    where : str, optional
        The path for error messages.
    max_pixels : int, optional
        Refuse an image whose header states more pixels, before anything is decoded.
    grey : bool, optional
        Decode to one channel: the file's own where it is grey, else its luma.

    Returns
    -------
    uint8 array (height, width, 3), or (height, width) for grey
        BGR, 0..255.

    Raises
    ------
    ImageError
    """
    if not data:
        raise ImageError("an empty file, not an image", where=where)
    size = header_size(data)
    if size and size[0] * size[1] > max_pixels:
        raise ImageError(f"{size[0]} x {size[1]} px are above the limit of {max_pixels} pixels", where=where)
    if data.startswith(_PNG_MAGIC) and not _png_is_whole(data):
        raise ImageError(_why_undecodable(data), where=where)  # libpng would also print a line of its own
    if data.startswith(b"\xff\xd8") and not _jpeg_is_whole(data):
        raise ImageError(_why_undecodable(data), where=where)  # OpenCV before 4.11 would fill the rest with grey
    cv2 = load_cv2()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"cv2 cannot decode it: {error.err}", where=where) from error
    if image is None:
        raise ImageError(_why_undecodable(data), where=where)
    if image.shape[0] * image.shape[1] > max_pixels:
        height, width = image.shape[:2]
        raise ImageError(f"{width} x {height} px are above the limit of {max_pixels} pixels", where=where)
    return image  # type: ignore[no-any-return]


def copy_pixels(pixels: NDArray[Any], place: NDArray[Any], *, exchange: bool = False) -> None:
    """Copy pixels into a batch; OpenCV mirrors them and exchanges red and blue, in a thirtieth of numpy's time.

    Parameters
    ----------
    pixels : array (height, width, 3) or (height, width)
        May be a window, and mirrored: ``image[:, ::-1]``.
    place : contiguous array (height, width, channels) of the same type
    exchange : bool, optional
        Exchange the first and the third channel.
    """
    cv2 = load_cv2()
    if pixels.strides[1] < 0:
        cv2.flip(pixels[:, ::-1], 1, dst=place)
    else:
        place[:] = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    if exchange:
        cv2.cvtColor(place, cv2.COLOR_BGR2RGB, dst=place)


def header_size(data: bytes) -> tuple[int, int] | None:
    """Read width and height in px from the header of a JPEG, PNG, GIF, BMP or WebP file.

    Returns
    -------
    (width, height) or None
        None where the format is another one or the header is cut off.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(_PNG_MAGIC):
            width, height = struct.unpack_from(">II", data, 16)
        elif data[:6] in (b"GIF87a", b"GIF89a"):
            width, height = struct.unpack_from("<HH", data, 6)
        elif data.startswith(b"BM"):
            if struct.unpack_from("<I", data, 14)[0] == 12:  # the OS/2 header has 16-bit sides
                width, height = struct.unpack_from("<HH", data, 18)
            else:
                width, height = (abs(side) for side in struct.unpack_from("<ii", data, 18))
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        else:
            return None
    except struct.error:
        return None
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the marker segments up to the frame header (ITU T.81, B.1 and B.2.2)."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # fill byte; markers without a segment
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether FF D9, the end of the image, follows the first scan, whose own bytes FF are stuffed (T.81, B.1.1.5)."""
    at = 2
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF:
            return True  # not the shape of a JPEG: the decoder says what is wrong
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return False


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Read the canvas or frame size (RFC 9649, sections 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _png_is_whole(data: bytes) -> bool:
    """Walk the chunks (length, type, data, CRC) to IEND."""
    at = len(_PNG_MAGIC)
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


_IMAGE_MAGICS = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"RIFF", "WebP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)


def _why_undecodable(data: bytes) -> str:
    for magic, kind in _IMAGE_MAGICS:
        if data.startswith(magic):
            return f"a {kind} that is truncated or damaged ({len(data)} bytes)"
    if data.lstrip()[:1] == b"<":
        return "a text page (HTML or XML), not an image"
    return "not an image that cv2 can decode"
