"""Data (LMDB) and ImageData: images, decoded, transformed and batched by several threads."""

from __future__ import annotations

import os
import threading
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from caffezoo.data.lmdb_database import LmdbDataset, is_lmdb
from caffezoo.errors import DataError, FormatError, ImageError, ZooError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.opencv import load_cv2
from caffezoo.training.feeds.base import Batch, Feed, FeedOptions, feeds
from caffezoo.training.feeds.transform import Transform


class ImageFeed(Feed):
    """Images and labels in some order, transformed."""

    def __init__(self, proto: pb.LayerParameter, phase: int, where: str, options: FeedOptions, batch: int) -> None:
        super().__init__(proto, phase, where, options)
        if batch < 1:
            raise self.fail("batch_size must be positive")
        self.batch = batch
        self.transform = Transform(proto.transform_param, phase, where)
        self._pool = ThreadPoolExecutor(options.threads) if options.threads > 1 else None
        self._bad: set[int] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        raise NotImplementedError

    @abstractmethod
    def load(self, index: int) -> tuple[np.ndarray, float]:
        """Return image ``index`` (H, W, C) and its label.

        Raises
        ------
        ZooError
            It cannot be read.
        """

    def place(self, position: int) -> int:
        """Return the index of the image at a position of the endless sequence."""
        return position % len(self)

    def _infer_shapes(self) -> None:
        """Take the tops' shapes from the first image that can be read."""
        for index in range(min(len(self), 100)):
            try:
                image, _ = self.load(self.place(index))
            except ZooError as error:
                self._skip(self.place(index), error)
                continue
            height, width, channels = image.shape
            shape = self.transform.shape(channels, height, width)
            tops = ((self.batch, *shape), (self.batch,))
            self.shapes = tops[: len(self.proto.top)]
            return
        raise self.fail("none of its first images can be read")

    def read(self, number: int) -> Batch:
        positions = range(number * self.batch, (number + 1) * self.batch)
        run = self._pool.map if self._pool is not None else map
        samples = list(run(self._sample, positions))
        images = np.stack([image for image, _ in samples])
        return [images, np.array([label for _, label in samples], np.float32)][: len(self.shapes)]

    def _sample(self, position: int) -> tuple[np.ndarray, float]:
        for step in range(len(self) + 1):
            index = self.place(position + step)
            if index in self._bad:
                continue
            try:
                image, label = self.load(index)
            except ImageError as error:
                self._skip(index, error)
                continue
            rng = self.rng(position)
            if self.options.augment is not None and self.transform.random:
                image = self.options.augment(image, rng)
            found = self.transform(image, rng.random(3))
            if found.shape != self.shapes[0][1:]:
                message = f"an image of shape {list(found.shape)} among images of {list(self.shapes[0][1:])} (C, H, W)"
                raise self.fail(message, hint="give crop_size, or make all images one size")
            return found, label
        raise self.fail("none of its images can be read")

    def _skip(self, index: int, error: ZooError) -> None:
        """Leave an image out from now on; the one behind it takes its place."""
        if self.options.strict or not isinstance(error, ImageError):
            raise error
        with self._lock:
            if index not in self._bad:
                self._bad.add(index)
                self.options.skipped.append(str(error))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@feeds("Data")
class DatabaseFeed(ImageFeed):
    """Records of an LMDB in the order of their keys, again and again."""

    def __init__(self, proto: pb.LayerParameter, phase: int, where: str, options: FeedOptions) -> None:
        param = proto.data_param
        super().__init__(proto, phase, where, options, int(param.batch_size))
        if param.backend != pb.DataParameter.LMDB:
            raise self.fail("backend LEVELDB cannot be read", hint="convert it to LMDB and set backend: LMDB")
        if not os.path.isdir(param.source):
            raise self.fail(f"its source '{param.source}' does not exist")
        if not is_lmdb(param.source):
            raise self.fail(f"its source '{param.source}' is no LMDB database: it has no data.mdb")
        self._data = LmdbDataset(param.source)
        self._start = int(self.rng().integers(param.rand_skip)) if param.rand_skip else 0
        self._infer_shapes()

    def __len__(self) -> int:
        return len(self._data)

    def place(self, position: int) -> int:
        return (position + self._start) % len(self)

    def load(self, index: int) -> tuple[np.ndarray, float]:
        datum = self._data.datum(index)
        where = f"{self._data.name}, record {index}"
        if not datum.encoded:
            try:
                return datum.pixels(), float(datum.label or 0)
            except FormatError as error:
                raise ImageError(error.message, where=where) from None
        cv2 = load_cv2()

        param = self.proto.transform_param
        flag = cv2.IMREAD_COLOR if param.force_color else cv2.IMREAD_GRAYSCALE if param.force_gray else -1
        return decode(np.frombuffer(datum.data, np.uint8), flag, where), float(datum.label or 0)


@feeds("ImageData")
class ImageListFeed(ImageFeed):
    """Images of a list, resized where the layer says so, in the list's order or shuffled anew in every pass."""

    def __init__(self, proto: pb.LayerParameter, phase: int, where: str, options: FeedOptions) -> None:
        param = proto.image_data_param
        super().__init__(proto, phase, where, options, int(param.batch_size))
        if (param.new_height == 0) != (param.new_width == 0):
            raise self.fail("takes both new_height and new_width")
        self._lines = self._listed(param.source)
        self._root = param.root_folder
        self._start = int(self.rng().integers(param.rand_skip)) if param.rand_skip else 0
        self._order = lru_cache(maxsize=2)(lambda passed: self.rng(passed, 1).permutation(len(self._lines)))
        self._infer_shapes()

    def __len__(self) -> int:
        return len(self._lines)

    def place(self, position: int) -> int:
        passed, at = divmod(position + self._start, len(self._lines))
        return int(self._order(passed)[at]) if self.proto.image_data_param.shuffle else at

    def load(self, index: int) -> tuple[np.ndarray, float]:
        cv2 = load_cv2()

        name, label = self._lines[index]
        param = self.proto.image_data_param
        path = self._root + name
        try:
            data = np.fromfile(path, np.uint8)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}", where=path) from None
        image = decode(data, cv2.IMREAD_COLOR if param.is_color else cv2.IMREAD_GRAYSCALE, path)
        if param.new_height and image.shape[:2] != (param.new_height, param.new_width):
            image = np.atleast_3d(cv2.resize(image, (param.new_width, param.new_height)))
        return image, label

    def _listed(self, source: str) -> list[tuple[str, float]]:
        try:
            text = Path(source).read_text()
        except OSError as error:
            raise self.fail(f"its source '{source}' cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self.fail(f"its source '{source}' is no list of images") from None
        found = []
        for number, line in enumerate(text.split("\n"), 1):
            name, _, label = line.rstrip("\r ").rpartition(" ")
            if not line.strip():
                continue
            try:
                found.append((name, float(int(label))))
            except ValueError:
                message = f"'{line[:60]}' is not a path and a class number"
                raise DataError(message, where=f"{source}:{number}") from None
        if not found:
            raise self.fail(f"its source '{source}' lists no image")
        return found


def decode(data: np.ndarray, flag: int, where: str) -> np.ndarray:
    """Return the pixels of an encoded image as (H, W, C), BGR, as OpenCV decodes it.

    Raises
    ------
    ImageError
        It is no image, or a damaged one.
    """
    cv2 = load_cv2()

    try:
        image = cv2.imdecode(data, flag) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise ImageError("this is no image, or a damaged one", where=where)
    return np.atleast_3d(image)
