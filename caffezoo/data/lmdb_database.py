"""Images in an LMDB of Caffe's Datum records, as ``convert_imageset`` writes them: encoded or raw."""

from __future__ import annotations

import os
import threading
from typing import Any, ClassVar

import numpy as np

from caffezoo.data.base import Dataset, Pixels, Sample, check_size
from caffezoo.errors import DataError, FormatError, ImageError, UsageError
from caffezoo.formats.datum import Datum, read_datum

_environments: dict[tuple[int, str], Any] = {}
_environments_lock = threading.Lock()


class LmdbDataset(Dataset):
    """The records of a database, in the order of their keys.

    Labels are not read before they are asked for: that reads a record.

    Raises
    ------
    DataError
        Not such a database, or an empty one.
    UsageError
        The package lmdb is not installed.
    """

    kind: ClassVar[str] = "lmdb"
    labels_from = "the database's records"

    def __init__(self, name: str) -> None:
        self.name = name
        lmdb = _lmdb()
        try:
            with _environment(name).begin() as transaction:
                self._keys = tuple(bytes(key) for key in transaction.cursor().iternext(values=False))
        except lmdb.Error as error:
            raise DataError(f"the database cannot be read: {error}", where=name) from None
        if not self._keys:
            raise DataError("the database holds no record", where=name)
        self._labels: dict[int, int | None] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def sample(self, index: int) -> Sample:
        if index not in self._labels:
            self._labels[index] = self.datum(index).label
        key = _text(self._keys[index])
        return Sample(key, self._labels[index], f"{self.name}/{key}")

    def read(self, index: int) -> bytes | Pixels:
        where = f"{self.name}/{_text(self._keys[index])}"
        datum = self.datum(index)
        check_size(len(datum.data), where)
        if datum.encoded or (datum.data and not datum.channels):
            return datum.data
        try:
            pixels = datum.pixels()
        except FormatError as error:
            raise ImageError(error.message, where=where) from None
        if pixels.dtype != np.uint8:
            raise ImageError("its pixels are floats, not bytes of 0..255", where=where)
        if pixels.shape[2] not in (1, 3):
            raise ImageError(f"{pixels.shape[2]} channels are neither grey nor colour", where=where)
        return pixels  # type: ignore[return-value]

    def datum(self, index: int) -> Datum:
        """Return record ``index`` as it is stored.

        Raises
        ------
        ImageError
            It cannot be read.
        """
        key = self._keys[index]
        where = f"{self.name}/{_text(key)}"
        lmdb = _lmdb()
        try:
            with _environment(self.name).begin() as transaction:
                record = transaction.get(key)
            if record is None:
                raise ImageError("the database has no such key any more", where=where)
            return read_datum(bytes(record))
        except FormatError as error:
            raise ImageError(error.message, where=where) from None
        except lmdb.Error as error:
            raise ImageError(f"the database is damaged there: {error}", where=where) from None


def is_lmdb(path: str) -> bool:
    """Whether a path is a database: a folder with ``data.mdb`` in it."""
    return os.path.isfile(os.path.join(path, "data.mdb"))


def _lmdb() -> Any:
    try:
        import lmdb
    except ImportError:
        raise UsageError("reading an LMDB needs the package lmdb", hint="pip install 'caffezoo[lmdb]'") from None
    return lmdb


def _environment(path: str) -> Any:
    """Open a database once a process: LMDB forbids twice."""
    lmdb = _lmdb()
    key = (os.getpid(), os.path.realpath(path))
    with _environments_lock:
        if key not in _environments:
            try:
                _environments[key] = lmdb.open(path, readonly=True, lock=False, readahead=False, max_readers=256)
            except lmdb.Error as error:
                raise DataError(f"not an LMDB database: {error}", where=path) from None
        return _environments[key]


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")
