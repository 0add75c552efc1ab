"""What every data set is: samples in a fixed order, whose bytes are read when they are wanted."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import ImageError

Pixels = NDArray[np.uint8]
"""Pixels that are stored as such: (height, width, 3), BGR 0..255; or (height, width, 1), grey."""

MAX_IMAGE_BYTES = 1 << 28
"""Encoded images above this many bytes are refused without being read."""

IMAGE_ENDINGS = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


@dataclass(frozen=True)
class Sample:
    """One image of a data set.

    Attributes
    ----------
    key : str
        Its name inside the data set: a path with forward slashes, a database's key, a row.
    label : int or None
        Class index from 0, where the data set itself says so.
    where : str
        What gave the label, and where the image is, for messages: ``file``, ``file:line``, ``archive/member``.
    """

    key: str
    label: int | None
    where: str


class Dataset(ABC, Sequence[Sample]):
    """Samples in a fixed order.

    A data set can be pickled, and read by several threads: files are opened where they are first read.

    Attributes
    ----------
    name : str
        The path that it was opened by.
    kind : str
        ``folder``, ``tar``, ``zip``, ``lmdb``, ``parquet``, ``webdataset``, ``pickle``.
    labels_from : str
        What gave the labels; empty where it has none.
    decodes_to : {"BGR", "RGB"}
        What OpenCV decodes its encoded images to: RGB where they were written with red and blue exchanged.
    """

    kind: ClassVar[str]
    name: str
    labels_from: str = ""
    decodes_to: str = "BGR"

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """Return what is known of image ``index`` (0..len - 1) without reading it."""

    @abstractmethod
    def read(self, index: int) -> bytes | Pixels:
        """Return the encoded bytes of image ``index``, or its pixels where they are stored raw.

        Raises
        ------
        ImageError
            It cannot be read; the others can.
        """

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.sample(index)

    def __iter__(self) -> Iterator[Sample]:
        return (self.sample(index) for index in range(len(self)))

    def fingerprint(self) -> str:
        """Return a hash of the file names and labels, in order, wherever the data lie."""
        digest = hashlib.sha256()
        for sample in self:
            label = "" if sample.label is None else f" {sample.label}"
            digest.update(f"{sample.key.rpartition('/')[2]}{label}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def check_size(size_bytes: int, where: str) -> None:
    """Refuse an encoded image that is too large to be read.

    Raises
    ------
    ImageError
    """
    if size_bytes > MAX_IMAGE_BYTES:
        raise ImageError(f"{size_bytes} bytes are above the limit of {MAX_IMAGE_BYTES}", where=where)


def is_image_name(name: str) -> bool:
    """Whether a file name ends as those of images do; files of macOS's archiver (``._x.JPEG``) are none."""
    return name.lower().endswith(IMAGE_ENDINGS) and not name.rpartition("/")[2].startswith("._")
