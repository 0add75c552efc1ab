"""What a data set holds: images, sizes, labels and how they are known, and what cannot be read."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from caffezoo.data.base import Sample
from caffezoo.data.opening import DataOptions, holds_images
from caffezoo.errors import DataError, ImageError, UsageError
from caffezoo.evaluation.dataset import Dataset, open_dataset
from caffezoo.evaluation.image_objects import ImageLike, as_image, name_of
from caffezoo.evaluation.label_order import evidence

CONTAINER_KINDS = {
    "folder": "a folder of image files",
    "tar": "a tar, read in place",
    "zip": "a zip, read in place",
    "lmdb": "an LMDB of Caffe's Datum records",
    "parquet": "Parquet files",
    "webdataset": "WebDataset shards",
    "pickle": "a pickle of images and labels",
}


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes
    ----------
    name, kind : str
    images : int
    looked_at : int
        Images that were decoded.
    labels_from : str
        What gives the labels; empty where nothing does.
    order, order_said_by : str
        In which order they number ImageNet's classes, and how that is known; empty where it is not.
    classes : int
        Different labels.
    lowest, highest : int or None
        The least and the greatest label.
    sizes : tuple of (width, height) or empty
        In px: smallest, median and largest by area of the images looked at.
    unreadable : tuple of (image, reason)
    notes : tuple of str
    command : str
        What evaluates a network on it.
    """

    name: str
    kind: str
    images: int
    looked_at: int
    labels_from: str
    order: str
    order_said_by: str
    classes: int
    lowest: int | None
    highest: int | None
    sizes: tuple[tuple[int, int], ...]
    unreadable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    command: str

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {
            **vars(self),
            "sizes": [list(size) for size in self.sizes],
            "unreadable": [{"image": image, "reason": reason} for image, reason in self.unreadable],
            "notes": list(self.notes),
        }


def inspect_data(
    path: str,
    *,
    val_file: str | None = None,
    labels_from: int = 0,
    options: DataOptions | None = None,
    look_at: int | None = None,
    workers: int = 2,
    on_image: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Look at a data set.

    Parameters
    ----------
    path : str
        Whatever :func:`caffezoo.evaluation.dataset.open_dataset` takes.
    val_file, labels_from, options
        Likewise.
    look_at : int, optional
        Decode only that many images, evenly spread; all if not given.
    workers : int, optional
        Threads that decode.
    on_image : callable, optional
        Called with (images done, images to do).

    Raises
    ------
    DataError
        It is no data set.
    """
    if look_at is not None and look_at < 0:
        raise UsageError(f"--look-at {look_at} is below 0")
    notes: list[str] = []
    dataset, items = _opened(path, val_file, labels_from, options, notes)
    count = len(items)
    places = range(count) if look_at is None or look_at >= count else [i * count // look_at for i in range(look_at)]
    sizes: list[tuple[int, int]] = []
    unreadable: list[tuple[str, str]] = []
    with ThreadPoolExecutor(workers) as pool:
        for done, (place, found) in enumerate(zip(places, pool.map(_look, (items[i] for i in places)), strict=True), 1):
            if isinstance(found, tuple):
                sizes.append(found)
            else:
                unreadable.append((name_of(items[place], place), found))
            if on_image is not None:
                on_image(done, len(places))
    sizes.sort(key=lambda size: size[0] * size[1])
    labels = Counter(image.label for image in dataset.images) if dataset else Counter()
    order, said_by = _order(dataset) if dataset else ("", "")
    if dataset and not order and min(labels) == 1:
        notes.append("no image has label 0: if the labels count from 1, give --labels-from 1")
    kind = dataset.source.kind if dataset and dataset.source else "list" if dataset else "unlabelled"
    return Inspection(
        path,
        CONTAINER_KINDS.get(kind, "a list of image files" if kind == "list" else "images without labels"),
        count,
        len(places),
        dataset.label_list if dataset else "",
        order,
        said_by,
        len(labels),
        min(labels) if labels else None,
        max(labels) if labels else None,
        (sizes[0], sizes[len(sizes) // 2], sizes[-1]) if sizes else (),
        tuple(unreadable),
        (*(dataset.notes if dataset else ()), *notes),
        _command(path, val_file, labels_from, dataset),
    )


def _opened(
    path: str, val_file: str | None, labels_from: int, options: DataOptions | None, notes: list[str]
) -> tuple[Dataset | None, list[ImageLike]]:
    """Open data with labels, or without where nothing gives any."""
    try:
        dataset = open_dataset(path, val_file=val_file, labels_from=labels_from, options=options)
    except DataError as error:
        if not error.message.startswith("no labels") or not holds_images(path):
            raise
        from caffezoo.data.opening import open_images
        from caffezoo.evaluation.image_objects import Stored

        source = open_images(path, options)
        notes.append(f"{error.message}; {error.hint}")
        samples: list[Sample] = list(source)
        return None, [Stored(source, place, sample.where) for place, sample in enumerate(samples)]
    return dataset, list(dataset.items(range(len(dataset.images))))


def _look(item: ImageLike) -> tuple[int, int] | str:
    """Return width and height, or why it cannot be read."""
    try:
        height, width = as_image(item, where=name_of(item, 0)).shape[:2]
    except ImageError as error:
        return error.message
    return width, height


def _order(dataset: Dataset) -> tuple[str, str]:
    if dataset.order is not None:
        return dataset.order, dataset.order_said_by
    told = evidence(dataset.images)
    order = told.order() if told.images else None
    return (order, f"{len(told.images)} file names prove it") if order is not None else ("", "")


def _command(path: str, val_file: str | None, labels_from: int, dataset: Dataset | None) -> str:
    words = ["caffezoo", "evaluate", "--net", "NET", "--data", shlex.quote(path)]
    if val_file is not None:
        words += ["--val-file", shlex.quote(val_file)]
    elif dataset is None:
        words += ["--val-file", "LIST"]
    if labels_from:
        words += ["--labels-from", str(labels_from)]
    return " ".join(words)
