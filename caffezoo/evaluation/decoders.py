"""Decoding under the names that protocols give it: ``cv2``, ``pillow``, ``simplejpeg``, ``yuv420``.

``cv2`` is the published protocol. It stands for pixels, not for a library: where simplejpeg is installed, which drives
libjpeg-turbo without OpenCV's detour and takes 0.6 of the time, JPEGs go through it as far as it proves equal. JPEGs of
a kind (coding, components, subsampling) are decoded by both until :data:`PROOFS` of them came out the same; after one
that did not, OpenCV decodes all of that kind. Whatever simplejpeg refuses or warns of, OpenCV decides.

``yuv420`` is what ``cv2`` gives after a detour through YUV with halved colour planes (BT.601, OpenCV's I420), the form
in which cameras and video decoders hand images over.
"""

from __future__ import annotations

import io
import struct
import threading
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from caffezoo.errors import ImageError, UnknownNameError, UsageError
from caffezoo.evaluation.images import MAX_IMAGE_PIXELS, Image, decode_image, header_size, load_cv2
from caffezoo.evaluation.protocol import DECODERS
from caffezoo.evaluation.resizers import load_pillow

PROOFS = 3
_PACKAGES = {"pillow": "pillow", "simplejpeg": "simplejpeg"}
_proofs: dict[tuple[int, ...], int] = {}  # by kind of JPEG; -1: not equal
_proofs_lock = threading.Lock()
_simplejpeg: list[Any] = []


def decoder_name(decoder: str) -> str:
    """Return a decoder's name with its version, as results carry it.

    Raises
    ------
    UsageError
        It is not installed, or there is no such decoder.
    """
    if decoder not in DECODERS:
        raise UnknownNameError("decoder", decoder, DECODERS)
    if decoder in ("cv2", "yuv420"):
        return f"{decoder}-{load_cv2().__version__}"
    try:
        return f"{decoder}-{version(_PACKAGES[decoder])}"
    except PackageNotFoundError:
        raise UsageError(f"decoder {decoder} is not installed", hint="pip install 'caffezoo[decoders]'") from None


def decode(data: bytes, decoder: str = "cv2", *, where: str | None = None, grey: bool = False) -> Image:
    """Decode the bytes of an image file.

    Parameters
    ----------
    data : bytes
    decoder : str, optional
        With or without a version.
    where : str, optional
        For messages.
    grey : bool, optional
        Decode to one channel; by OpenCV, and what Pillow decodes as its luma.

    Returns
    -------
    uint8 array (height, width, 3), or (height, width) for grey
        BGR, 0..255.

    Raises
    ------
    ImageError
        It cannot be decoded, or is above the limits of :mod:`caffezoo.evaluation.images`.
    """
    name = decoder.partition("-")[0]
    if name == "pillow":
        image = _by_pillow(data, where)
        return load_cv2().cvtColor(image, load_cv2().COLOR_BGR2GRAY) if grey else image
    if name == "yuv420":
        return _through_yuv(decode(data, where=where, grey=grey))
    if name not in DECODERS:
        raise UnknownNameError("decoder", name, DECODERS)
    if grey:
        return decode_image(data, where=where, grey=True)
    kind = _kind(data)
    library = _load_simplejpeg()
    if library is None or kind is None or not _fits(data):
        return decode_image(data, where=where)
    if name == "simplejpeg" or _proofs.get(kind, 0) >= PROOFS:
        fast = _fast(library, data)
        return fast if fast is not None else decode_image(data, where=where)
    image = decode_image(data, where=where)
    if _proofs.get(kind, 0) >= 0:
        fast = _fast(library, data)
        if fast is not None:
            equal = np.array_equal(fast, image)
            with _proofs_lock:
                _proofs[kind] = _proofs.get(kind, 0) + 1 if equal and _proofs.get(kind, 0) >= 0 else -1
    return image


def _through_yuv(image: Image) -> Image:
    """Return an image after YUV 4:2:0 and back; odd sides are made even by repeating the last row and column."""
    if image.ndim == 2:
        return image
    cv2 = load_cv2()
    height, width = image.shape[:2]
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    back = cv2.cvtColor(cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420), cv2.COLOR_YUV2BGR_I420)
    return np.ascontiguousarray(back[:height, :width])


def _fits(data: bytes) -> bool:
    size = header_size(data)
    return size is not None and 0 < size[0] * size[1] <= MAX_IMAGE_PIXELS


def _kind(data: bytes) -> tuple[int, ...] | None:
    """Return what sort of JPEG it is: frame marker, then number, sampling and table of each component; else None.

    None as well where an Exif segment may turn the picture, which OpenCV does and libjpeg-turbo does not.
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    at, adobe = 2, 0
    try:
        while at + 4 <= len(data):
            marker = data[at + 1]
            if data[at] != 0xFF or marker == 0xFF:
                return None
            length = struct.unpack_from(">H", data, at + 2)[0]
            if marker == 0xE1 and data[at + 4 : at + 8] == b"Exif":
                return None
            if marker == 0xEE and data[at + 4 : at + 9] == b"Adobe":
                adobe = 1 + data[at + 15]
            if marker in (0xC0, 0xC1, 0xC2):
                precision, components = data[at + 4], data[at + 9]
                if precision != 8 or components not in (1, 3):
                    return None
                parts = data[at + 10 : at + 10 + 3 * components]
                return (marker, adobe, *(parts[3 * k + i] for k in range(components) for i in (0, 1)))
            at += 2 + length
    except (struct.error, IndexError):
        return None
    return None


def _fast(library: Any, data: bytes) -> Image | None:
    try:
        return library.decode_jpeg(data, colorspace="BGR", fastdct=False, fastupsample=False, strict=True)  # type: ignore[no-any-return]
    except ValueError:
        return None


def _load_simplejpeg() -> Any:
    if not _simplejpeg:
        try:
            import simplejpeg
        except ImportError:
            simplejpeg = None
        _simplejpeg.append(simplejpeg)
    return _simplejpeg[0]


def _by_pillow(data: bytes, where: str | None) -> Image:
    from PIL import ImageOps

    if not data:
        raise ImageError("an empty file, not an image", where=where)
    pillow = load_pillow()
    try:
        with pillow.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > MAX_IMAGE_PIXELS:
                raise ImageError(
                    f"{opened.width} x {opened.height} px are above the limit of {MAX_IMAGE_PIXELS} pixels", where=where
                )
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I;16"):
                grey = (np.asarray(upright) >> 8).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            return np.ascontiguousarray(np.asarray(upright.convert("RGB"))[:, :, ::-1])
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise ImageError(f"Pillow cannot decode it: {error}", where=where) from None
