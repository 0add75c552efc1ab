"""HDF5Data: rows of the data sets of HDF5 files that a text file lists."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.hdf5 import import_h5py
from caffezoo.training.feeds.base import Batch, Feed, FeedOptions, feeds


@feeds("HDF5Data")
class Hdf5Feed(Feed):
    """Rows in the files' order, then from the start again; with ``shuffle`` files and their rows in another order."""

    def __init__(self, proto: pb.LayerParameter, phase: int, where: str, options: FeedOptions) -> None:
        super().__init__(proto, phase, where, options)
        param = proto.hdf5_data_param
        if proto.HasField("transform_param"):
            raise self.fail("takes no transform_param: Caffe does not transform HDF5 data")
        if param.batch_size < 1:
            raise self.fail("batch_size must be positive")
        self._batch, self._shuffle = int(param.batch_size), param.shuffle
        try:
            self._files = [s for s in Path(param.source).read_text().split("\n") if s.strip()]
        except OSError as error:
            raise self.fail(f"its source '{param.source}' cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self.fail(f"its source '{param.source}' is no list", hint="list HDF5 files, a line each") from None
        if not self._files:
            raise self.fail(f"its source '{param.source}' lists no file")
        self._files = [name.strip() for name in self._files]
        self._load = lru_cache(maxsize=2)(self._read_file)
        first = self._load(0)
        self.shapes = tuple((self._batch, *array.shape[1:]) for array in first)
        self._rows = [self._count(i) for i in range(len(self._files))]

    def read(self, number: int) -> Batch:
        total = sum(self._rows)
        parts: list[list[np.ndarray]] = [[] for _ in self.shapes]
        for position in range(number * self._batch, (number + 1) * self._batch):
            passed, row = divmod(position, total)
            order = self.rng(passed).permutation(len(self._files)) if self._shuffle else range(len(self._files))
            for index in order:
                if row < self._rows[index]:
                    break
                row -= self._rows[index]
            if self._shuffle:
                row = int(self._row_order(passed, int(index))[row])
            for part, array in zip(parts, self._load(int(index)), strict=True):
                part.append(array[row])
        return [np.stack(part) for part in parts]

    def _row_order(self, passed: int, index: int) -> np.ndarray:
        return self.rng(passed, index, 1).permutation(self._rows[index])

    def _count(self, index: int) -> int:
        """Return the rows of a file, after checking that its data sets fit the first file's."""
        h5py: Any = import_h5py(self._files[index])
        try:
            with h5py.File(self._files[index], "r") as file:
                shapes = [tuple(file[top].shape) for top in self.proto.top]
        except (OSError, KeyError, AttributeError) as error:
            raise self.fail(f"'{self._files[index]}' cannot be read: {error}") from None
        for top, found, wanted in zip(self.proto.top, shapes, self.shapes, strict=True):
            if found[1:] != wanted[1:] or found[:1] != shapes[0][:1] or not found[0]:
                message = f"'{self._files[index]}': data set '{top}' has shape {list(found)}, rows of {wanted[1:]}"
                raise self.fail(message + " are wanted, as many for every top")
        return int(shapes[0][0])

    def _read_file(self, index: int) -> list[np.ndarray]:
        name = self._files[index]
        h5py: Any = import_h5py(name)
        try:
            with h5py.File(name, "r") as file:
                missing = [top for top in self.proto.top if not isinstance(file.get(top), h5py.Dataset)]
                if missing:
                    message = f"'{name}' holds no data set '{missing[0]}', which its top names"
                    raise self.fail(message, hint=f"it has {', '.join(file)}")
                return [np.asarray(file[top], np.float32) for top in self.proto.top]
        except OSError as error:
            raise self.fail(f"'{name}' cannot be read: {error}") from None
