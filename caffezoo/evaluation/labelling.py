"""Labels of a data set's images: those that it has itself, those that names tell, those of a list."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from caffezoo.data.base import Dataset, Sample
from caffezoo.data.classes import ClassFolders
from caffezoo.data.label_sets import VALIDATION_IMAGES, VALIDATION_LIST, validation_labels, validation_number
from caffezoo.data.lists import devkit_labels, read_list
from caffezoo.data.matching import match
from caffezoo.errors import DataError
from caffezoo.evaluation.label_order import told_wnid
from caffezoo.evaluation.labels import LabelledImage
from caffezoo.zoo.synsets import wnid_labels

_IMAGENET_V2 = re.compile(r"imagenet-?_?v2", re.IGNORECASE)


@dataclass(frozen=True)
class Labelled:
    """Images of a data set with their labels.

    Attributes
    ----------
    images : tuple of LabelledImage
    label_list : str
        What gave the labels.
    order : str or None
        The order that they number ImageNet's classes in, where that is known.
    order_said_by : str
    numbered : bool
        The labels are numbers of somebody's own, not names of classes.
    notes : tuple of str
    """

    images: tuple[LabelledImage, ...]
    label_list: str
    order: str | None = None
    order_said_by: str = ""
    numbered: bool = False
    notes: tuple[str, ...] = ()


def label_themselves(source: Dataset, *, labels_from: int = 0, limit: int | None = None) -> Labelled:
    """Label the images of a data set that says by itself what is in it.

    Its own labels go first (databases, shards, class folders), then the published ones of the ILSVRC2012 validation
    images, then WordNet ids at the beginning of names.

    Raises
    ------
    DataError
        Nothing says what its images are.
    """
    count = len(source) if limit is None else min(limit, len(source))
    samples = [source[index] for index in range(count)]
    if source.labels_from:
        return _own(source, samples, labels_from)
    numbers = [validation_number(sample.key) for sample in samples]
    if all(number is not None for number in numbers):
        labels = [validation_labels()[number - 1] for number in numbers if number is not None]
        there = len(source)
        notes = (
            (f"{there} of the {VALIDATION_IMAGES} validation images are there",) if there < VALIDATION_IMAGES else ()
        )
        return Labelled(_images(samples, labels), VALIDATION_LIST, "2012", "the published labels", notes=notes)
    wnids = [told_wnid(sample.key) for sample in samples]
    if all(wnid is not None for wnid in wnids):
        labels = [wnid_labels()[wnid] for wnid in wnids if wnid is not None]
        return Labelled(_images(samples, labels), "the WordNet ids of file names", "2012", "WordNet ids of file names")
    unnamed = next(sample.key for sample, wnid in zip(samples, wnids, strict=True) if wnid is None)
    raise DataError(
        "no labels: neither ILSVRC2012_val_*.JPEG files nor class folders (n01440764, ...) are in it,"
        f" and nothing says what {os.path.basename(unnamed)} is",
        where=source.name,
        hint="give --val-file with lines of 'path label'",
    )


def is_numbered(source: Dataset) -> bool:
    """Whether a data set has labels that are numbers of somebody's own."""
    return bool(source.labels_from) and not (isinstance(source, ClassFolders) and source.classes.is_imagenet)


def label_listed(source: Dataset | None, path: str, *, labels_from: int = 0, limit: int | None = None) -> Labelled:
    """Label the images of a data set by a list.

    Raises
    ------
    DataError
        No such list, one of other images, or one of numbers alone where the images are no validation images.
    """
    listed = read_list(path, labels_from=labels_from, limit=limit)
    if listed.numbers:
        return _by_devkit(source, listed.numbers, path)
    if source is None:
        raise DataError("it names no image", where=path)
    images = tuple(
        LabelledImage(
            source[place].where if place is not None else f"{source.name}/{image.name}", image.label, image.where, place
        )
        for image, place in zip(listed.images, match(listed.images, source), strict=True)
    )
    order, said_by = ("2012", "WordNet ids in the list") if listed.by_wnid else (None, "")
    return Labelled(images, path, order, said_by, numbered=True)


def _own(source: Dataset, samples: list[Sample], labels_from: int) -> Labelled:
    folders = isinstance(source, ClassFolders)
    first = 0 if folders else labels_from  # class folders have taken it off already
    labels = []
    for sample in samples:
        if sample.label is None or sample.label < first:
            what = "no label" if sample.label is None else f"label {sample.label}, below {first}"
            raise DataError(f"the image has {what}", where=sample.where, hint="give --val-file with the labels")
        labels.append(sample.label - first)
    images = _images(samples, labels)
    if isinstance(source, ClassFolders):
        if source.classes.by == "wnid":
            return Labelled(images, source.labels_from, "2012", "folders named by WordNet id")
        if source.classes.by == "name":
            return Labelled(images, source.labels_from, None, numbered=True)
    if _IMAGENET_V2.search(os.path.abspath(source.name)):
        return Labelled(images, source.labels_from, "2012", "ImageNet-V2's own", numbered=True)
    return Labelled(images, source.labels_from, numbered=True)


def _by_devkit(source: Dataset | None, numbers: tuple[int, ...], path: str) -> Labelled:
    """Label validation images by the development kit's list of mere numbers."""
    known = validation_labels()
    labels = devkit_labels(numbers, known, path)
    by_number = {} if source is None else {validation_number(s.key): (i, s) for i, s in enumerate(source)}
    found = [(number, by_number[number]) for number in range(1, len(numbers) + 1) if number in by_number]
    if not found:
        raise DataError(
            "a list of numbers alone is for the ILSVRC2012 validation images, in the order of their names",
            where=path,
            hint="write lines of 'path label'",
        )
    images = tuple(
        LabelledImage(sample.where, labels[number - 1], f"{path}:{number}", place) for number, (place, sample) in found
    )
    return Labelled(images, path, "2012", "the published labels, which the list agrees with")


def _images(samples: list[Sample], labels: list[int]) -> tuple[LabelledImage, ...]:
    return tuple(
        LabelledImage(sample.where, label, sample.where, place)
        for place, (sample, label) in enumerate(zip(samples, labels, strict=True))
    )
