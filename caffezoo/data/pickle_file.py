"""Images in a pickle of ``{"data": [...], "target": [...]}``, the ``val224_compressed.pkl`` of the float16 study.

A pickle is a program; nothing of it is executed. The stack machine that reads torch files
(:mod:`caffezoo.weights.pickle_machine`) reads these as well: pickles of Python 2 and 3, images as byte strings or as
numpy arrays, encoded or raw. Byte strings are not copied: what is kept of an image is where it lies in the file.

The known file was written by giving RGB arrays to OpenCV's encoder, which takes BGR: what OpenCV decodes from it has
red first. ``channel_order`` says so: ``RGB`` unless another is given.
"""

from __future__ import annotations

import mmap
import struct
import threading
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from caffezoo.data.base import Dataset, Pixels, Sample, check_size
from caffezoo.data.pickle_arrays import ArrayRef, ImageMachine, Span
from caffezoo.errors import DataError, ImageError, UsageError, WeightsFileError

CHANNEL_ORDERS = ("RGB", "BGR")
_IMAGE_KEYS = ("data", "images", "x")
_LABEL_KEYS = ("target", "targets", "labels", "label", "y")


class PickleDataset(Dataset):
    """The images of a pickle, in order; nothing of it is run.

    Parameters
    ----------
    name : str
    channel_order : {"RGB", "BGR"}, optional
        How the channels of a decoded image, or of raw pixels, come: RGB if not given.

    Attributes
    ----------
    channel_order : str

    Raises
    ------
    DataError
        No such pickle, or one that wants something called.
    """

    kind: ClassVar[str] = "pickle"

    def __init__(self, name: str, *, channel_order: str | None = None) -> None:
        if channel_order not in (None, *CHANNEL_ORDERS):
            raise UsageError(f"channel order '{channel_order}' is unknown", hint="choose RGB or BGR")
        self.name = name
        self.channel_order = channel_order or "RGB"
        self.decodes_to = self.channel_order
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None
        value = self._run()
        if not isinstance(value, dict):
            raise DataError("its pickle is no dict of images and labels", where=name)
        images = _part(value, _IMAGE_KEYS, name)
        labels = _part(value, _LABEL_KEYS, name)
        self._images: tuple[Span | bytes | ArrayRef, ...] = _items(images, name)
        self._labels = self._whole_numbers(labels)
        if len(self._images) != len(self._labels):
            raise DataError(f"it holds {len(self._images)} images and {len(self._labels)} labels", where=name)
        self.labels_from = "the pickle"

    def __len__(self) -> int:
        return len(self._images)

    def sample(self, index: int) -> Sample:
        return Sample(f"image {index:05d}", self._labels[index], f"{self.name}, image {index}")

    def read(self, index: int) -> bytes | Pixels:
        """Return the encoded bytes of an image, whose channels are those of :attr:`channel_order` once decoded by
        OpenCV, or raw pixels, in BGR.
        """
        item = self._images[index]
        where = f"{self.name}, image {index}"
        if isinstance(item, ArrayRef):
            pixels = _pixels(self._bytes(item.content), item, where)
            if pixels.ndim == 1:
                return pixels.tobytes()
            return pixels[..., ::-1] if self.channel_order == "RGB" and pixels.shape[2] == 3 else pixels
        check_size(item.size if isinstance(item, Span) else len(item), where)
        return self._bytes(item)

    def _run(self) -> Any:
        try:
            return ImageMachine(memoryview(self._mapped()), self.name).run()
        except WeightsFileError as error:
            raise DataError(error.message, where=self.name) from None
        except (struct.error, IndexError, KeyError, UnicodeError, TypeError, ValueError, AssertionError) as error:
            raise DataError(f"no pickle of images: {type(error).__name__}", where=self.name) from None

    def _whole_numbers(self, labels: Any) -> tuple[int, ...]:
        if isinstance(labels, ArrayRef):
            if np.dtype(labels.dtype).kind not in "iu":
                raise DataError("its labels are no whole numbers", where=self.name)
            labels = np.frombuffer(self._bytes(labels.content), labels.dtype).tolist()
        if not isinstance(labels, list | tuple):
            raise DataError("its labels are no list", where=self.name)
        for label in labels:
            if not isinstance(label, int) or isinstance(label, bool):
                raise DataError("its labels are no whole numbers", where=self.name)
        return tuple(labels)

    def _bytes(self, content: Span | bytes) -> bytes:
        if isinstance(content, Span):
            return self._mapped()[content.start : content.start + content.size]
        return content

    def _mapped(self) -> mmap.mmap:
        with self._lock:
            if self._map is None:
                try:
                    with open(self.name, "rb") as stream:
                        self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                except ValueError:
                    raise DataError("an empty file, not a pickle", where=self.name) from None
                except OSError as error:
                    raise DataError(f"cannot be read: {error.strerror}", where=self.name) from None
            return self._map

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_map")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock, self._map = threading.Lock(), None


def _part(value: dict[Any, Any], keys: tuple[str, ...], where: str) -> Any:
    for key in keys:
        if key in value:
            return value[key]
    raise DataError(f"its dict has none of the keys {', '.join(keys)}", where=where)


def _items(images: Any, where: str) -> tuple[Span | bytes | ArrayRef, ...]:
    """One item an image: of a list, or of an array's first axis."""
    if isinstance(images, ArrayRef):
        if len(images.shape) != 4 or np.dtype(images.dtype) != np.uint8 or images.fortran:
            raise DataError("its array of images is not uint8 of four axes", where=where)
        size = int(np.prod(images.shape[1:], dtype=np.int64))
        items: list[Span | bytes | ArrayRef] = []
        for i in range(images.shape[0]):
            content = images.content
            part = (
                Span(content.start + i * size, size)
                if isinstance(content, Span)
                else content[i * size : (i + 1) * size]
            )
            items.append(replace(images, shape=images.shape[1:], content=part))
        return tuple(items)
    if not isinstance(images, list | tuple):
        raise DataError("its images are no list", where=where)
    for item in images:
        if not isinstance(item, Span | bytes | ArrayRef):
            raise DataError(f"an image of it is of type {type(item).__name__}", where=where)
    return tuple(images)


def _pixels(content: bytes, array: ArrayRef, where: str) -> Pixels:
    """An image's array: one axis is an encoded image, three are raw pixels, with channels last or first."""
    if np.dtype(array.dtype) != np.uint8 or len(content) != np.prod(array.shape, dtype=np.int64):
        raise ImageError("its array is not of bytes", where=where)
    pixels = np.frombuffer(content, np.uint8)
    if len(array.shape) == 1 or (1 in array.shape[:2] and len(array.shape) == 2):
        return pixels
    pixels = pixels.reshape(array.shape, order="F" if array.fortran else "C")
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3) and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise ImageError(f"an array of shape {list(array.shape)} is no image", where=where)
    return np.ascontiguousarray(pixels)
