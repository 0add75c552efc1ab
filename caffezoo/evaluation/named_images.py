"""Which images the arguments of a command name: files, folders and archives of them, and lists."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from caffezoo.data.base import is_image_name
from caffezoo.data.folder import FolderDataset
from caffezoo.data.opening import holds_images, open_images
from caffezoo.errors import DataError
from caffezoo.evaluation.image_objects import ImageLike, Stored

LIST_ENDINGS = (".txt", ".lst", ".list", ".csv")
MAX_LIST_BYTES = 1 << 28


def named_images(arguments: Iterable[str]) -> list[ImageLike]:
    """Return the images that arguments name, in order.

    Parameters
    ----------
    arguments : iterable of str
        Image files; folders, with all below them, tars, zips, databases and shards; lists with a path a line, and
        maybe a label behind it, which does not count.

    Returns
    -------
    list of path or Stored
        A path that is not there is returned as it stands, so that the others go on.

    Raises
    ------
    DataError
        A folder, archive or list that cannot be read, or names no image.
    """
    found: list[ImageLike] = []
    for argument in arguments:
        if os.path.isdir(argument) or (os.path.isfile(argument) and _is_archive(argument)):
            data = open_images(argument)
            if isinstance(data, FolderDataset):
                found += [sample.key for sample in data]
            else:
                found += [Stored(data, place, sample.where) for place, sample in enumerate(data)]
        elif argument.lower().endswith(LIST_ENDINGS):
            found += _listed(argument)
        else:
            found.append(argument)
    return found


def _is_archive(path: str) -> bool:
    return not is_image_name(path) and not path.lower().endswith(LIST_ENDINGS) and holds_images(path)


def _listed(path: str) -> list[str]:
    try:
        if os.stat(path).st_size > MAX_LIST_BYTES:
            raise DataError(f"is larger than {MAX_LIST_BYTES >> 20} MiB", where=path)
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not a text file (byte {error.start})", where=path) from None
    found = [_located(line.strip(), os.path.dirname(path)) for line in lines if line.strip()]
    if not found:
        raise DataError("names no image", where=path, hint="it wants a path a line")
    return found


def _located(line: str, folder: str) -> str:
    """Return the path that a line names: the whole of it, or what stands before a label."""
    spaced = line.replace("\t", " ")
    name, _, label = spaced.rpartition("," if spaced.count(",") == 1 else " ")
    without = name.strip() if name and label.strip().lstrip("-").isdigit() else line
    for text in dict.fromkeys((line, without)):
        for root in (folder, ""):
            if os.path.isfile(os.path.join(root, text)):
                return os.path.join(root, text)
    return os.path.join(folder, without)
