"""Which order a label list numbers ImageNet's classes in, where its file names tell.

The wrong order is the classic silent fault of evaluations: 100 % error, or labels that are believed. Two kinds of names
betray the truth: those with a WordNet id (``n01440764_tench.JPEG``, ``n01440764/a.JPEG``) and those of the validation
set (``ILSVRC2012_val_00000001.JPEG``), whose labels are published.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from caffezoo.data.label_sets import validation_labels, validation_number
from caffezoo.errors import DataError
from caffezoo.evaluation.labels import LabelledImage
from caffezoo.zoo.synsets import LABEL_ORDERS, synsets, wnid_labels

_WNID = re.compile(r"n\d{8}(?!\d)")
_PROVEN = 0.9


@dataclass(frozen=True)
class Evidence:
    """Images whose names tell their class.

    Attributes
    ----------
    images : tuple of LabelledImage
        With the label of a list.
    wnids : tuple of str
        The class that each one's name tells.
    """

    images: tuple[LabelledImage, ...]
    wnids: tuple[str, ...]

    def agreeing(self, order: str, offset: int = 0) -> int:
        """Return how many labels, less ``offset``, are those of the names in an order."""
        index = wnid_labels(order)
        return sum(image.label - offset == index.get(wnid) for image, wnid in zip(self.images, self.wnids, strict=True))

    def proves(self, order: str, offset: int = 0) -> bool:
        """Whether at least nine in ten labels are those of the names in an order."""
        return bool(self.images) and self.agreeing(order, offset) >= _PROVEN * len(self.images)

    def order(self, orders: Sequence[str] = LABEL_ORDERS) -> str | None:
        """Return the order that most labels agree with, or None where none is proven."""
        best = max(orders, key=self.agreeing)
        return best if self.proves(best) else None

    @property
    def is_a_numbering(self) -> bool:
        """Whether each class that the names tell has one label of its own, whatever it is."""
        pairs = set(zip((image.label for image in self.images), self.wnids, strict=True))
        return len(pairs) == len({label for label, _ in pairs}) == len({wnid for _, wnid in pairs})

    def contradiction(self, order: str, *, stated: str = "", hint: str | None = None) -> DataError:
        """Return the error that shows the first label that is not the name's in an order, with how many there are.

        Parameters
        ----------
        order : str
        stated : str, optional
            Who says that it is this order.
        hint : str, optional
            The flag that would be right, where it is known better than by trying.
        """
        index = wnid_labels(order)
        wrong = len(self.images) - self.agreeing(order)
        image, wnid = next((i, w) for i, w in zip(self.images, self.wnids, strict=True) if i.label != index.get(w))
        orders = " and ".join(f"{wnid_labels(known).get(wnid)} in the order of {known}" for known in LABEL_ORDERS)
        of = f" in the order of {order} ({stated})" if stated else ""
        return DataError(
            f"label {image.label} contradicts the name {os.path.basename(image.path)}, which is {wnid}: label {orders};"
            f" {wrong} of {len(self.images)} labels contradict what names tell{of}",
            where=image.where or None,
            hint=hint or self.remedy(),
        )

    def remedy(self) -> str:
        """Return the flag with which the labels agree with the names."""
        for order in LABEL_ORDERS:
            if self.proves(order):
                return f"they agree in the order of {order}: give --label-order {order}, or leave it out"
            for offset in (1, -1):
                if self.proves(order, offset):
                    if offset == 1:
                        return f"they are counted from 1: give --labels-from 1 (then they are in the order of {order})"
                    return f"they are one too small for the order of {order}"
        return (
            "if the list has an order of its own, give it: --label-order FILE (one WordNet id a line);"
            " --label-order listed believes the list as it stands"
        )


def evidence(images: Iterable[LabelledImage]) -> Evidence:
    """Return the images whose names tell their class."""
    found, wnids = [], []
    for image in images:
        wnid = told_wnid(image.path)
        if wnid is not None:
            found.append(image)
            wnids.append(wnid)
    return Evidence(tuple(found), tuple(wnids))


def told_wnid(path: str) -> str | None:
    """Return the WordNet id of an ImageNet class that a file's name, or its folder's, tells."""
    folder, name = os.path.split(path)
    if (number := validation_number(name)) is not None:
        return synsets("2012")[validation_labels()[number - 1]].wnid
    if name.lower().startswith("ilsvrc2012_val_"):
        return None
    for text in (name, os.path.basename(folder)):
        wnid = _WNID.match(text)
        if wnid and wnid.group() in wnid_labels():
            return wnid.group()
    return None
