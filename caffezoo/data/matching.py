"""Find listed images in a data set: by path, then by file name, then by file name without its ending."""

from __future__ import annotations

import os
from collections.abc import Sequence

from caffezoo.data.base import Dataset
from caffezoo.data.lists import ListedImage
from caffezoo.errors import DataError


def match(images: Sequence[ListedImage], dataset: Dataset) -> tuple[int | None, ...]:
    """Return where each listed image is in a data set; None for one that is not there.

    Published lists carry prefixes of other people's machines, and some no endings; a file name that occurs twice
    identifies nothing.

    Raises
    ------
    DataError
        None is there, or two lines of the list lead to one image.
    """
    tables: list[dict[str, int | None]] = [{}, {}, {}]
    for place, sample in enumerate(dataset):
        for table, name in zip(tables, _names(sample.key), strict=True):
            table[name] = None if name in table else place
    found: list[int | None] = []
    taken: dict[int, ListedImage] = {}
    for image in images:
        at: int | None
        index = next(
            (at for table, name in zip(tables, _names(image.name), strict=True) if (at := table.get(name)) is not None),
            None,
        )
        if index is not None:
            other = taken.setdefault(index, image)
            if other is not image:
                raise DataError(f"the same image as in {other.where}: {dataset[index].key}", where=image.where)
        found.append(index)
    if all(index is None for index in found):
        raise DataError(
            f"none of the {len(images)} listed images is there, not even '{images[0].name}'",
            where=dataset.name,
            hint=f"is it the data that the list was made for? It holds {dataset[0].key}" if len(dataset) else None,
        )
    return tuple(found)


def _names(key: str) -> tuple[str, str, str]:
    path = os.path.normpath(key.replace("\\", "/")).lstrip("/")
    file = os.path.basename(path)
    stem, ending = os.path.splitext(file)
    return path, file.lower(), (stem if ending[1:].isalpha() else file).lower()
