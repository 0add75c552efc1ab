"""Images in a zip file, read in place."""

from __future__ import annotations

import threading
import zipfile
import zlib
from itertools import pairwise
from typing import Any, ClassVar

from caffezoo.data.base import Dataset, Sample, check_size, is_image_name
from caffezoo.errors import DataError, ImageError


class ZipDataset(Dataset):
    """The images of a zip, by name.

    Raises
    ------
    DataError
        No zip, cut off (its directory stands at the end), or two members of one name.
    """

    kind: ClassVar[str] = "zip"

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._archive: zipfile.ZipFile | None = None
        names = sorted(info.filename for info in self._opened().infolist() if is_image_name(info.filename))
        for one, following in pairwise(names):
            if one == following:
                raise DataError(f"it holds two members '{one}'", where=name)
        self._names = tuple(names)

    def __len__(self) -> int:
        return len(self._names)

    def sample(self, index: int) -> Sample:
        return Sample(self._names[index], None, f"{self.name}/{self._names[index]}")

    def read(self, index: int) -> bytes:
        name = self._names[index]
        where = f"{self.name}/{name}"
        try:
            archive = self._opened()
            info = archive.getinfo(name)
            check_size(info.file_size, where)
            if info.flag_bits & 1:
                raise ImageError("encrypted", where=where)
            return archive.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ImageError(f"the archive is damaged there: {error}", where=where) from None
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror}", where=where) from None

    def _opened(self) -> zipfile.ZipFile:
        with self._lock:
            if self._archive is None:
                try:
                    self._archive = zipfile.ZipFile(self.name)
                except zipfile.BadZipFile:
                    raise DataError("not a zip, or a zip that was cut off", where=self.name) from None
                except OSError as error:
                    raise DataError(f"cannot be read: {error.strerror}", where=self.name) from None
            return self._archive

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "labels_from": self.labels_from, "_names": self._names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock, self._archive = threading.Lock(), None
