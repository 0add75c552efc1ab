"""The label sets that an evaluation is asked for: the data's own, the published ones, ReaL's, and lists."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from caffezoo.data.label_sets import LABEL_SETS, label_set, validation_number
from caffezoo.data.lists import read_list
from caffezoo.errors import DataError, UnknownNameError, UsageError
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.labels import LabelledImage
from caffezoo.evaluation.matching import match_labels
from caffezoo.evaluation.outcomes import LabelSet
from caffezoo.weights.cache import Cache
from caffezoo.zoo.synsets import LABEL_ORDERS, is_order, label_permutation

OWN = "labels"
"""Name of the set of the data's own labels."""


def own_labels(dataset: Dataset) -> LabelSet:
    """Return the labels that a data set has."""
    return LabelSet(OWN, tuple((image.label,) for image in dataset.images))


def label_sets(
    wanted: Sequence[str], dataset: Dataset, network_order: str, classes: int, cache: Cache | None = None
) -> tuple[LabelSet, ...]:
    """Return the label sets to score by.

    Parameters
    ----------
    wanted : sequence of str
        ``2012``, ``2015`` (one set: the published labels), ``real``, or files of ``path label`` lines.
    dataset : Dataset
        As :func:`caffezoo.evaluation.matching.match_labels` returned it.
    network_order : str
        What the network's outputs are.
    classes : int
        Outputs that are classes.
    cache : Cache, optional

    Raises
    ------
    UsageError
        A set twice, an unknown one, or ImageNet's for a network of other classes.
    DataError
        A set that says nothing of these images.
    """
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"--labels {','.join(wanted)} names a set twice")
    return tuple(_one(name, dataset, network_order, classes, cache) for name in wanted)


def _one(name: str, dataset: Dataset, network_order: str, classes: int, cache: Cache | None) -> LabelSet:
    if name not in LABEL_SETS:
        if not os.path.isfile(name):
            raise UnknownNameError("label set", name, (*LABEL_SETS, "a file of 'path label' lines"))
        return _of_list(name, dataset, network_order, classes)
    if network_order == "other" or classes != 1000:
        raise UsageError(f"--labels {name} are ImageNet's, and this network has other classes")
    numbers = [validation_number(os.path.basename(image.path)) for image in dataset.images]
    if name != "real" and None in numbers and dataset.order in LABEL_ORDERS and not dataset.listed:
        return LabelSet(name, own_labels(dataset).labels)  # what names tell of other images is in that order too
    found = label_set(name, numbers, "2012", cache)
    if is_order(network_order) and network_order != "2012":
        to = label_permutation("2012", network_order)
        found = tuple(tuple(to[label] for label in labels if to[label] >= 0) for labels in found)
    return LabelSet(name, found)


def _of_list(path: str, dataset: Dataset, network_order: str, classes: int) -> LabelSet:
    listed = read_list(path)
    if listed.numbers:
        raise DataError("a list of numbers alone is no label set", where=path, hint="write lines of 'path label'")
    by_name = {_stem(image.name): image for image in listed.images}
    if len(by_name) < len(listed.images):
        raise DataError("two of its lines have one file name", where=path)
    found = [(image, by_name.get(_stem(image.path))) for image in dataset.images]
    there = tuple(LabelledImage(image.path, own.label, own.where, image.place) for image, own in found if own)
    if not there:
        raise DataError("it names none of the images", where=path)
    order, said_by = ("2012", "WordNet ids in the list") if listed.by_wnid else (None, "")
    matched = match_labels(
        replace(dataset, images=there, label_list=path, order=order, order_said_by=said_by, listed=True),
        network_order,
        classes,
    )
    labels = iter(matched.images)
    return LabelSet(os.path.basename(path), tuple((next(labels).label,) if own else () for _, own in found))


def _stem(name: str) -> str:
    stem, ending = os.path.splitext(os.path.basename(name.replace("\\", "/")))
    return (stem if ending[1:].isalpha() else stem + ending).lower()
