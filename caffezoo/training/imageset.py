"""Images into an LMDB and their mean, as Caffe's tools ``convert_imageset`` and ``compute_image_mean`` make them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.data.base import is_image_name
from caffezoo.data.lmdb_database import LmdbDataset
from caffezoo.errors import DataError, FormatError, ImageError, UsageError
from caffezoo.formats.binaryproto import write_binaryproto
from caffezoo.formats.datum import write_datum
from caffezoo.opencv import load_cv2
from caffezoo.training.feeds.images import decode

BATCH = 1000
"""Records that are written in one transaction, as in Caffe."""

FIRST_MAP_BYTES = 1 << 28
_ALREADY = {".jpg": ("jpg", "jpeg"), ".jpeg": ("jpg", "jpeg"), ".png": ("png",)}

Listed = tuple[str, int]


@dataclass(frozen=True)
class Conversion:
    """How images become records.

    Attributes
    ----------
    resize : (height, width) or None
    gray : bool
    encoded : bool
        Store encoded images instead of pixels; with ``encode_type`` (``png``, ``jpg``) or resized they are encoded
        anew, otherwise the files' own bytes are stored.
    encode_type : str
    shuffle : bool
    check_size : bool
        Refuse images of different sizes.
    strict : bool
        An image that cannot be read ends the conversion, instead of being left out.
    seed : int
    """

    resize: tuple[int, int] | None = None
    gray: bool = False
    encoded: bool = False
    encode_type: str = ""
    shuffle: bool = False
    check_size: bool = False
    strict: bool = False
    seed: int = 0


@dataclass
class Converted:
    """What a conversion wrote: records, the first one's shape, and the images that it left out, with the reasons."""

    records: int = 0
    skipped: list[str] = field(default_factory=list)
    shape: tuple[int, ...] | None = None


def class_folders(root: str) -> tuple[list[Listed], list[str]]:
    """Return the images of class folders and the classes' names, both sorted: the first folder is class 0.

    Raises
    ------
    DataError
        There is no folder with images in it, or one folder is empty.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=root) from None
    found: list[Listed] = []
    for label, name in enumerate(names):
        images = [
            os.path.relpath(os.path.join(folder, file), root)
            for folder, _, files in os.walk(os.path.join(root, name))
            for file in files
            if is_image_name(file)
        ]
        if not images:
            raise DataError(f"the folder of class '{name}' holds no image", where=root, hint="remove it, or fill it")
        found += [(image, label) for image in sorted(images)]
    if not found:
        raise DataError("there are no class folders with images in it", where=root)
    return found, names


def read_list(path: str) -> list[Listed]:
    """Return a list's images and labels: ``path label`` a line.

    Raises
    ------
    DataError
        It cannot be read, or a line is something else.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {getattr(error, 'strerror', None) or 'no text'}", where=path) from None
    found = []
    for number, line in enumerate(lines, 1):
        name, _, label = line.rstrip().rpartition(" ")
        if not line.strip():
            continue
        if not label.lstrip("-").isdigit() or not name:
            raise DataError(f"'{line[:60]}' is not a path and a class number", where=f"{path}:{number}")
        found.append((name, int(label)))
    if not found:
        raise DataError("the list names no image", where=path)
    return found


def convert_imageset(
    root: str,
    images: Sequence[Listed],
    database: str,
    how: Conversion | None = None,
    on_image: Callable[[int], None] = lambda done: None,
) -> Converted:
    """Write images into a new LMDB; its keys are Caffe's: ``<8 digits>_<path>``.

    The database is moved to its place when it is whole.

    Raises
    ------
    DataError
        The database exists, no image can be read, or (``check_size``) one is of another size.
    ImageError
        With ``strict``: an image cannot be read.
    UsageError
        The package lmdb is not installed.
    """
    how = how or Conversion()
    if os.path.exists(database):
        raise DataError("the database exists already", where=database, hint="remove it, or name another")
    order = np.random.default_rng(how.seed).permutation(len(images)) if how.shuffle else range(len(images))
    temporary = f"{database}.{os.getpid()}.part"
    done = Converted()
    try:
        with _Writer(temporary) as writer:
            for number, index in enumerate(order):
                name, label = images[index]
                try:
                    record = _record(os.path.join(root, name), label, how, done)
                except ImageError as error:
                    if how.strict:
                        raise
                    done.skipped.append(str(error))
                    continue
                writer.put(f"{number:08}_{name}".encode(errors="surrogateescape"), record)
                done.records += 1
                on_image(number + 1)
        if not done.records:
            raise DataError("no image can be read", where=root, hint=done.skipped[0] if done.skipped else None)
        os.replace(temporary, database)
    except OSError as error:
        raise DataError(f"the database cannot be written: {error.strerror or error}", where=database) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return done


def _record(path: str, label: int, how: Conversion, done: Converted) -> bytes:
    cv2 = load_cv2()
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}", where=path) from None
    flag = cv2.IMREAD_GRAYSCALE if how.gray else cv2.IMREAD_COLOR
    image = decode(np.frombuffer(raw, np.uint8), flag, path)
    if how.resize is not None and image.shape[:2] != how.resize:
        image = np.atleast_3d(cv2.resize(image, (how.resize[1], how.resize[0])))
    if how.check_size:
        done.shape = done.shape or image.shape
        if done.shape != image.shape:
            size = f"{image.shape[1]}x{image.shape[0]}, the first {done.shape[1]}x{done.shape[0]} px"
            raise DataError(f"the image has {size}", where=path, hint="give --resize-height and --resize-width")
    if not how.encoded:
        height, width, channels = image.shape
        return write_datum(image.transpose(2, 0, 1).tobytes(), label, shape=(channels, height, width))
    ending = os.path.splitext(path)[1].lower()
    as_it_is = how.resize is None and not how.gray and how.encode_type in ("", *_ALREADY.get(ending, ()))
    if as_it_is:
        return write_datum(raw, label)
    kind = how.encode_type or ending.removeprefix(".")
    good, data = cv2.imencode(f".{kind}", image)
    if not good:
        raise UsageError(f"images cannot be encoded as '{kind}'")
    return write_datum(data.tobytes(), label)


class _Writer:
    """A new LMDB that grows as it is filled."""

    def __init__(self, path: str) -> None:
        try:
            import lmdb
        except ImportError:
            raise UsageError("writing an LMDB needs the package lmdb", hint="pip install 'caffezoo[lmdb]'") from None
        self._lmdb: Any = lmdb
        self._size = FIRST_MAP_BYTES
        try:
            self._environment = lmdb.open(path, map_size=self._size)
        except lmdb.Error as error:
            raise DataError(f"the database cannot be written: {error}", where=path) from None
        self._waiting: list[tuple[bytes, bytes]] = []

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._environment.close()

    def put(self, key: bytes, record: bytes) -> None:
        self._waiting.append((key, record))
        if len(self._waiting) == BATCH:
            self._flush()

    def _flush(self) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, record in self._waiting:
                        transaction.put(key, record)
            except self._lmdb.MapFullError:
                self._size *= 2
                self._environment.set_mapsize(self._size)
            except self._lmdb.Error as error:
                raise DataError(f"the database cannot be written: {error}") from None
            else:
                self._waiting.clear()
                return


def compute_mean(
    database: str, output: str | None = None, on_image: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """Return the mean image (C, H, W) of an LMDB, in float64, and write it as a binaryproto.

    Raises
    ------
    DataError, ImageError
        The database cannot be read, or its images are of different sizes.
    """
    total: np.ndarray | None = None
    count = 0
    for image in _images(database):
        if total is None:
            total = np.zeros(image.shape)
        if image.shape != total.shape:
            message = f"record {count} has shape {list(image.shape)}, the first {list(total.shape)} (C, H, W)"
            raise DataError(message, where=database, hint="convert the images with --resize")
        total += image
        count += 1
        on_image(count)
    assert total is not None  # an empty database is refused where it is opened
    mean: np.ndarray = total / count
    if output is not None:
        write_binaryproto(output, mean)
    return mean


def _images(database: str) -> Iterator[np.ndarray]:
    if not os.path.isdir(database):
        raise DataError("there is no such database", where=database)
    data = LmdbDataset(database)
    for index in range(len(data)):
        datum = data.datum(index)
        where = f"{database}, record {index}"
        if datum.encoded:
            yield decode(np.frombuffer(datum.data, np.uint8), -1, where).transpose(2, 0, 1)
            continue
        try:
            yield datum.pixels().transpose(2, 0, 1)
        except FormatError as error:
            raise ImageError(error.message, where=where) from None
