"""The shape of the first image or record that a data layer would read: of an LMDB, HDF5 files or a list of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caffezoo.errors import FormatError
from caffezoo.formats.datum import read_datum
from caffezoo.opencv import load_cv2

MAX_LIST_LINE = 4096
"""Longest line of a list of files that is read, in characters."""


def find_source(source: str, prototxt: str) -> Path | None:
    """Return where a path of a prototxt leads: from the working directory, as Caffe reads it, else from the file's own
    folder; None where there is nothing."""
    if not source:
        return None
    for path in (Path(source), Path(prototxt).parent / source):
        try:
            if path.exists():
                return path
        except (OSError, ValueError):
            return None
    return None


def database_image(folder: Path) -> tuple[int, int, int]:
    """Return channels, height and width of the first record of an LMDB of Datum records.

    Raises
    ------
    FormatError
        It is no such database, it is empty, or its first record cannot be read.
    """
    try:
        import lmdb
    except ImportError:
        raise FormatError(
            "reading an LMDB needs the package lmdb", where=str(folder), hint="pip install 'caffezoo[lmdb]'"
        ) from None
    try:
        with (
            lmdb.open(str(folder), readonly=True, lock=False, subdir=folder.is_dir()) as environment,
            environment.begin() as transaction,
        ):
            record = next((bytes(value) for _, value in transaction.cursor()), None)
    except lmdb.Error as error:
        raise FormatError(f"the database cannot be read: {error}", where=str(folder)) from None
    if record is None:
        raise FormatError("the database holds no record", where=str(folder))
    try:
        datum = read_datum(record)
    except FormatError as error:
        raise FormatError(error.message, where=str(folder)) from None
    if datum.encoded or min(datum.channels, datum.height, datum.width) < 1:
        return _decoded(datum.data, str(folder))
    return datum.channels, datum.height, datum.width


def hdf5_shapes(file_list: Path, names: Sequence[str], prototxt: str) -> list[tuple[int, ...]]:
    """Return the shapes of data sets in the first file of a list, axis 0 included.

    Raises
    ------
    FormatError
        The list or its first file cannot be read, or has no such data set.
    """
    first = _first_line(file_list)
    path = find_source(first, str(file_list)) or find_source(first, prototxt)
    if path is None:
        raise FormatError(f"it names {first}, which is not here", where=str(file_list))
    try:
        import h5py

        with h5py.File(path, "r") as file:
            found = [file.get(name) for name in names]
            missing = [name for name, data in zip(names, found, strict=True) if not isinstance(data, h5py.Dataset)]
            if missing:
                raise FormatError(f"it has no data set '{missing[0]}'", where=str(path))
            return [tuple(int(d) for d in data.shape) for data in found]
    except OSError:
        raise FormatError("it is no HDF5 file", where=str(path)) from None


def listed_image(file_list: Path, root: str, prototxt: str) -> tuple[int, int, int]:
    """Return channels, height and width of the first image of a list of images and labels.

    Raises
    ------
    FormatError
        The list or its first image cannot be read.
    """
    name = _first_line(file_list).rsplit(None, 1)[0]
    path = find_source(root + name, prototxt)
    if path is None:
        raise FormatError(f"it names {root + name}, which is not here", where=str(file_list))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"it cannot be read: {error.strerror}", where=str(path)) from None
    return _decoded(data, str(path))


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            text = lines.readline(MAX_LIST_LINE).strip()
    except OSError as error:
        raise FormatError(f"it cannot be read: {error.strerror}", where=str(file)) from None
    if not text:
        raise FormatError("its first line names no file", where=str(file))
    return text


def _decoded(data: bytes, where: str) -> tuple[int, int, int]:
    import numpy as np

    cv2 = load_cv2()
    image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None:
        raise FormatError("its first image cannot be decoded", where=where)
    return (image.shape[2] if image.ndim == 3 else 1), image.shape[0], image.shape[1]
