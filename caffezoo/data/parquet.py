"""Images in Parquet files, a row an image: the form in which hubs give ImageNet today.

A column holds encoded bytes, or a struct with ``bytes`` and ``path``; another one the label as a whole number. Row
groups are read when an image of theirs is wanted, and the last few are kept.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from typing import Any, ClassVar

from caffezoo.data.base import Dataset, Sample, check_size
from caffezoo.errors import DataError, ImageError, UsageError

KEPT_GROUPS = 4
_IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "bytes", "data", "content")
_LABEL_COLUMNS = ("label", "labels", "target", "class", "cls", "fine_label")


class ParquetDataset(Dataset):
    """Rows of one or several files, in order.

    Parameters
    ----------
    name : str
        A file, or a folder of ``*.parquet`` files, taken by name.
    image_column, label_column : str, optional
        Found by their usual names if not given.

    Raises
    ------
    DataError
        No such column, or no Parquet file.
    UsageError
        The package pyarrow is not installed.
    """

    kind: ClassVar[str] = "parquet"

    def __init__(self, name: str, *, image_column: str | None = None, label_column: str | None = None) -> None:
        self.name = name
        self._files = parquet_files(name)
        self._groups: list[tuple[int, int]] = []  # file, row group
        self._starts: list[int] = []
        rows = 0
        for number, path in enumerate(self._files):
            metadata = _open(path).metadata
            for group in range(metadata.num_row_groups):
                self._groups.append((number, group))
                self._starts.append(rows)
                rows += metadata.row_group(group).num_rows
        self._rows = rows
        if not rows:
            raise DataError("it holds no rows", where=name)
        names = _open(self._files[0]).schema_arrow.names
        self._image = _column("image", image_column, _IMAGE_COLUMNS, names, name)
        self._label = _column("label", label_column, _LABEL_COLUMNS, names, name, optional=label_column is None)
        self.labels_from = f"column {self._label}" if self._label else ""
        self._labels, self._paths = self._read_names()
        self._forget()

    def __len__(self) -> int:
        return self._rows

    def sample(self, index: int) -> Sample:
        key = self._paths[index] or f"row {index}"
        return Sample(key, self._labels[index], f"{self.name}/{key}")

    def read(self, index: int) -> bytes:
        where = f"{self.name}, row {index}"
        group = bisect_right(self._starts, index) - 1
        value = self._group(group)[index - self._starts[group]]
        if isinstance(value, dict):
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise ImageError(f"column '{self._image}' holds no image bytes there", where=where)
        check_size(len(value), where)
        return value

    def _read_names(self) -> tuple[list[int | None], list[str]]:
        """Read the labels, and the file names where the images have some."""
        labels: list[int | None] = []
        paths: list[str] = []
        for path in self._files:
            file = _open(path)
            if self._label:
                for value in file.read(columns=[self._label]).column(0).to_pylist():
                    if not isinstance(value, int) or isinstance(value, bool):
                        raise DataError(f"label '{value}' is not a whole number", where=f"{path}, row {len(labels)}")
                    labels.append(value)
            if _has_paths(file, self._image):
                column = file.read(columns=[f"{self._image}.path"]).column(0)
                paths += ((value or {}).get("path") or "" for value in column.to_pylist())
            else:
                paths += [""] * file.metadata.num_rows
        return labels or [None] * self._rows, paths

    def _group(self, number: int) -> list[Any]:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        file, group = self._groups[number]
        try:
            values: list[Any] = (
                _open(self._files[file]).read_row_group(group, columns=[self._image]).column(0).to_pylist()
            )
        except (OSError, ValueError) as error:
            raise ImageError(f"row group {group} cannot be read: {error}", where=self._files[file]) from None
        with self._lock:
            self._kept[number] = values
            while len(self._kept) > KEPT_GROUPS:
                self._kept.popitem(last=False)
        return values

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, list[Any]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_kept")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._forget()


def parquet_files(name: str) -> tuple[str, ...]:
    """Return the files of a data set: the one named, or those below the folder by name."""
    if not os.path.isdir(name):
        return (name,)
    found = [
        os.path.join(root, file) for root, _, files in os.walk(name) for file in files if file.endswith(".parquet")
    ]
    return tuple(sorted(found))


def _open(path: str) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UsageError("reading Parquet needs the package pyarrow", hint="pip install 'caffezoo[parquet]'") from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataError(f"not a Parquet file, or one that was cut off: {error}", where=path) from None


def _has_paths(file: Any, column: str) -> bool:
    import pyarrow

    kind = file.schema_arrow.field(column).type
    return bool(pyarrow.types.is_struct(kind) and kind.get_field_index("path") >= 0)


def _column(
    what: str, given: str | None, usual: tuple[str, ...], names: list[str], where: str, *, optional: bool = False
) -> str:
    if given is not None:
        if given in names:
            return given
        raise DataError(f"no column '{given}'; there are {', '.join(names)}", where=where)
    found = [name for name in usual if name in names]
    if found:
        return found[0]
    if optional:
        return ""
    raise DataError(
        f"none of its columns ({', '.join(names)}) is known to hold the {what}",
        where=where,
        hint=f"name it: --{what}-column NAME",
    )
