"""The 1000 ImageNet classes: their names, and the two orders in which published networks number them.

``cls/synsets_2012.txt`` and ``cls/synsets_2015.txt`` hold one ``wnid name, name`` line for each output of a network, in
the order of the outputs. The classes are the same 1000 in both, so labels of one order follow from those of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caffezoo.errors import DataError, UnknownNameError
from caffezoo.zoo.resources import data_path

LABEL_ORDERS = ("2012", "2015")


@dataclass(frozen=True)
class Synset:
    """One class: its WordNet id (``n01440764``) and its names (``tench, Tinca tinca``)."""

    wnid: str
    names: str


def read_synsets(path: Path) -> tuple[Synset, ...]:
    """Read a list of ``wnid names`` lines.

    Raises
    ------
    DataError
        Missing, or a line without a name.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from error
    synsets = []
    for number, line in enumerate(lines, 1):
        wnid, _, names = line.strip().partition(" ")
        if not names:
            raise DataError("not a 'wnid name' line", where=f"{path}:{number}")
        synsets.append(Synset(wnid, names))
    return tuple(synsets)


@cache
def synsets(order: str = "2012") -> tuple[Synset, ...]:
    """Return the 1000 classes in the order of a network's outputs.

    Parameters
    ----------
    order : {"2012", "2015"}
        2012: ascending WordNet ids, as nearly all networks; 2015: inception-v3 of MXNet and the official SENets.

    Raises
    ------
    UnknownNameError
        Another order.
    """
    if order not in LABEL_ORDERS:
        raise UnknownNameError("label order", order, LABEL_ORDERS)
    return read_synsets(data_path(f"cls/synsets_{order}.txt"))


@cache
def wnid_labels(order: str = "2012") -> Mapping[str, int]:
    """Return the label of every WordNet id in an order."""
    return {synset.wnid: label for label, synset in enumerate(synsets(order))}


@cache
def label_permutation(from_order: str, to_order: str) -> tuple[int, ...]:
    """Return ``p`` with ``p[label in from_order] = label in to_order``, derived by WordNet id."""
    index = wnid_labels(to_order)
    return tuple(index[synset.wnid] for synset in synsets(from_order))


def class_name(index: int, classes: int, order: str, names: Sequence[str] | None = None) -> str:
    """Return what output ``index`` of ``classes`` means; ``class 7`` where nobody says.

    Parameters
    ----------
    index, classes : int
    order : {"2012", "2015", "other"}
        Of the network's labels.
    names : sequence of str, optional
        The network's own names of its outputs.
    """
    if names is not None and len(names) == classes:
        return names[index]
    if order in LABEL_ORDERS and classes == len(synsets(order)):
        return synsets(order)[index].names
    return f"class {index}"
