"""Images that are files: a folder with all below it, or any list of paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from caffezoo.data.base import Dataset, Sample, check_size, is_image_name
from caffezoo.errors import DataError, ImageError


class FolderDataset(Dataset):
    """Image files.

    Parameters
    ----------
    name : str
        The folder, or the list that names the files.
    samples : sequence of Sample
        Keys are paths: absolute, or from the current folder.
    """

    kind: ClassVar[str] = "folder"

    def __init__(self, name: str, samples: Sequence[Sample]) -> None:
        self.name = name
        self._samples = tuple(samples)

    @classmethod
    def open(cls, folder: str) -> FolderDataset:
        """Find every image below a folder, by path; links to folders are followed once.

        Raises
        ------
        DataError
            The folder cannot be read.
        """
        paths: list[str] = []
        seen: set[str] = set()

        def stop(error: OSError) -> None:
            raise DataError(f"cannot be read: {error.strerror}", where=error.filename or folder)

        for root, folders, files in os.walk(folder, onerror=stop, followlinks=True):
            real = os.path.realpath(root)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders.sort()
            paths += (os.path.join(root, file) for file in files if is_image_name(file))
        return cls(folder, [Sample(path, None, path) for path in sorted(paths)])

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int) -> Sample:
        return self._samples[index]

    def read(self, index: int) -> bytes:
        return read_file(self._samples[index].key)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of an image file.

    Raises
    ------
    ImageError
        Missing, a folder, or larger than an image may be.
    """
    where = os.fspath(path)
    try:
        check_size(os.stat(path).st_size, where)
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError("no such image", where=where) from None
    except IsADirectoryError:
        raise ImageError("a directory, not an image", where=where) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(f"cannot be read: {reason}", where=where) from error
