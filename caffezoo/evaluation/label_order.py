"""Which order a label list numbers ImageNet's classes in, where its file names tell.

The wrong order is the classic silent fault of evaluations: 100 % error, or labels that are believed. Two kinds of names
betray the truth: those with a WordNet id (``n01440764_tench.JPEG``) and those of the validation set
(``ILSVRC2012_val_00000001.JPEG``), whose labels are published.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache

from caffezoo.evaluation.labels import LabelledImage, read_label_list
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.synsets import LABEL_ORDERS, label_permutation, wnid_labels

VALIDATION_LIST = "cls/ILSVRC2012_val.txt"
_WNID = re.compile(r"n\d{8}(?!\d)")
_VALIDATION = re.compile(r"ILSVRC2012_val_\d{8}", re.IGNORECASE)
_PROVEN = 0.9


def recognise_order(images: Iterable[LabelledImage]) -> str | None:
    """Return the order that the labels are in, or None where the names tell nothing or nothing consistent.

    Parameters
    ----------
    images : iterable of LabelledImage

    Returns
    -------
    {"2012", "2015"} or None
        The order that at least nine in ten of the telling names agree with.
    """
    telling, agree = 0, dict.fromkeys(LABEL_ORDERS, 0)
    for image in images:
        truth = _label_2012(os.path.basename(image.path))
        if truth is None:
            continue
        telling += 1
        for order in LABEL_ORDERS:
            agree[order] += image.label == label_permutation("2012", order)[truth]
    best = max(agree, key=lambda order: agree[order])
    return best if telling and agree[best] >= _PROVEN * telling else None


def _label_2012(name: str) -> int | None:
    wnid = _WNID.match(name)
    if wnid:
        return wnid_labels().get(wnid.group())
    validation = _VALIDATION.match(name)
    return _validation_labels().get(validation.group().lower()) if validation else None


@cache
def _validation_labels() -> Mapping[str, int]:
    listed = read_label_list(data_path(VALIDATION_LIST))
    return {os.path.splitext(os.path.basename(image.path))[0].lower(): image.label for image in listed}
