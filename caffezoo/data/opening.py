"""Find out what a path holds, and open it as a data set."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass

from caffezoo.data.base import Dataset, is_image_name
from caffezoo.data.classes import ClassFolders, class_folder, folder_classes, imagenet_names
from caffezoo.data.folder import FolderDataset
from caffezoo.data.lmdb_database import LmdbDataset, is_lmdb
from caffezoo.data.parquet import ParquetDataset, parquet_files
from caffezoo.data.pickle_file import PickleDataset
from caffezoo.data.tar_archive import TarDataset, TarFile
from caffezoo.data.webdataset import WebDataset, is_webdataset, tar_files
from caffezoo.data.zip_archive import ZipDataset
from caffezoo.errors import DataError, UsageError

_PICKLE_ENDINGS = (".pkl", ".pickle", ".pk")
_ARCHIVE_ENDINGS = (".tar", ".zip", ".parquet", ".mdb")


@dataclass(frozen=True)
class DataOptions:
    """What a path alone does not say.

    Attributes
    ----------
    image_column, label_column : str or None
        Columns of a Parquet file, endings of a WebDataset's files.
    channel_order : {"RGB", "BGR"} or None
        Of a pickle's images.
    class_names : tuple of str or None
        In the order of the labels, for class folders named by class; ImageNet's if not given.
    labels_from : {0, 1}
        The number of the first class.
    """

    image_column: str | None = None
    label_column: str | None = None
    channel_order: str | None = None
    class_names: tuple[str, ...] | None = None
    labels_from: int = 0


def holds_images(path: str) -> bool:
    """Whether a path is a container of images, not a list that names some."""
    if os.path.isdir(path):
        return True
    head = _head(path)
    # By name as well: one that is empty or damaged is a damaged container, not a list.
    return path.lower().endswith((*_PICKLE_ENDINGS, *_ARCHIVE_ENDINGS)) or any(
        (head[:4] == b"PK\x03\x04", head[:4] == b"PAR1", head[257:262] == b"ustar", *_is_compressed(head))
    )


def open_images(path: str, options: DataOptions | None = None) -> Dataset:
    """Open a data set of any kind.

    Parameters
    ----------
    path : str
        A folder of images, of shards or of Parquet files, an LMDB (or its data.mdb), a tar, a zip, a Parquet file, a
        pickle.
    options : DataOptions, optional

    Returns
    -------
    Dataset
        With labels where the data say what they are: databases, shards, pickles, class folders.

    Raises
    ------
    DataError
        It cannot be read, or holds no images.
    UsageError
        A package that it needs is not installed, or an option that is not for it.
    """
    options = options or DataOptions()
    dataset = _opened(path, options)
    if not len(dataset):
        raise DataError("it holds no images", where=path)
    if dataset.labels_from or dataset.kind not in ("folder", "tar", "zip"):
        return dataset
    classes = folder_classes(
        {class_folder(sample.key) for sample in dataset} if dataset.kind != "folder" else _folders(dataset, path),
        names=options.class_names or imagenet_names(),
        labels_from=options.labels_from,
        where=path,
    )
    return ClassFolders(dataset, classes) if classes else dataset


def _opened(path: str, options: DataOptions) -> Dataset:
    columns = {"image_column": options.image_column, "label_column": options.label_column}
    if os.path.basename(path) == "data.mdb" or is_lmdb(path):
        dataset: Dataset = LmdbDataset(os.path.dirname(path) or "." if path.endswith("data.mdb") else path)
    elif os.path.isdir(path):
        return _of_folder(path, options)
    else:
        head = _head(path)
        if head[:4] == b"PAR1" or path.lower().endswith(".parquet"):
            return ParquetDataset(path, **columns)
        if head[:4] == b"PK\x03\x04" or path.lower().endswith(".zip") or zipfile.is_zipfile(path):
            dataset = ZipDataset(path)
        elif path.lower().endswith(_PICKLE_ENDINGS):
            dataset = PickleDataset(path, channel_order=options.channel_order)
        elif is_webdataset(TarFile(path).members()) or any(columns.values()):
            return _shards(path, options)
        else:
            dataset = TarDataset(path)
    for flag, value in columns.items():
        if value is not None:
            raise UsageError(
                f"--{flag.replace('_', '-')} is for Parquet files and WebDataset shards, not {dataset.kind}"
            )
    if options.channel_order and dataset.kind != "pickle":
        raise UsageError(f"--data-channel-order is for pickles, not {dataset.kind}")
    return dataset


def _of_folder(path: str, options: DataOptions) -> Dataset:
    """A folder of shards, of Parquet files, or of images."""
    try:
        names = os.listdir(path)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from None
    if not any(is_image_name(name) for name in names):
        if tar_files(path):
            return _shards(path, options)
        if parquet_files(path):
            return ParquetDataset(path, image_column=options.image_column, label_column=options.label_column)
    return FolderDataset.open(path)


def _shards(path: str, options: DataOptions) -> Dataset:
    return WebDataset(path, image_ending=options.image_column, label_ending=options.label_column)


def _folders(dataset: Dataset, path: str) -> set[str]:
    """The folders below ``path`` that hold its images; an image that lies in ``path`` itself is in none."""
    root = os.path.normpath(path)
    return {class_folder(sample.key) for sample in dataset if os.path.normpath(os.path.dirname(sample.key)) != root}


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(512)
    except FileNotFoundError:
        raise DataError("no such folder or file of images", where=path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from None


def _is_compressed(head: bytes) -> tuple[bool, ...]:
    """Compressed tars are taken for containers, which say that they must be unpacked."""
    return tuple(head.startswith(magic) for magic in (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
