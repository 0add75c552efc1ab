"""The 1000 ImageNet classes: their names, and the orders in which networks number them.

``cls/synsets_2012.txt`` and ``cls/synsets_2015.txt`` hold one ``wnid name, name`` line for each output of a network, in
the order of the outputs. The classes are the same 1000 in both, so labels of one order follow from those of the other.
Where an order is asked for, a path to such a file says a network's own.
"""

from __future__ import annotations

import os
import re
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


def is_order(order: str) -> bool:
    """Whether ``order`` says how classes are numbered: a published order, or a file that is there."""
    return order in LABEL_ORDERS or os.path.isfile(order)


def synsets(order: str = "2012") -> tuple[Synset, ...]:
    """Return the classes in the order of a network's outputs.

    Parameters
    ----------
    order : {"2012", "2015"} or path
        2012: ascending WordNet ids, as nearly all networks; 2015: inception-v3 of MXNet and the official SENets; a
        file: a network's own order, one ``wnid`` or ``wnid name`` line for each output.

    Raises
    ------
    UnknownNameError
        Another order, and no file.
    DataError
        The file is no such list.
    """
    if order in LABEL_ORDERS:
        return _published(order)
    if not os.path.isfile(order):
        raise UnknownNameError("label order", order, LABEL_ORDERS)
    return read_order(Path(order))


@cache
def _published(order: str) -> tuple[Synset, ...]:
    return read_synsets(data_path(f"cls/synsets_{order}.txt"))


def read_order(path: Path) -> tuple[Synset, ...]:
    """Read a network's own order of classes: lines of ``wnid`` or ``wnid name``; blank lines are passed over.

    Raises
    ------
    DataError
        Missing, empty, a line that does not begin with a WordNet id, or an id that occurs twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from error
    found: dict[str, Synset] = {}
    for number, line in enumerate(lines, 1):
        wnid, _, names = line.strip().partition(" ")
        if not wnid:
            continue
        if not re.fullmatch(r"n\d{8}", wnid):
            raise DataError(
                f"'{line.strip()[:40]}' does not begin with a WordNet id (n01440764)",
                where=f"{path}:{number}",
                hint="a list of mere names is for --labels",
            )
        if wnid in found:
            raise DataError(f"{wnid} is there twice", where=f"{path}:{number}")
        found[wnid] = Synset(wnid, names.strip() or _name(wnid))
    if not found:
        raise DataError("holds no class", where=str(path), hint="it wants one WordNet id (n01440764) a line")
    return tuple(found.values())


def read_names(path: Path) -> tuple[str, ...]:
    """Read the names of a network's classes: one a line, in the order of the outputs; a WordNet id before it is cut.

    Raises
    ------
    DataError
        Missing, not text, or empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError("holds no name", where=str(path), hint="it wants one name a line, in the order of the outputs")
    return tuple(re.sub(r"^n\d{8}\s+", "", name) for name in names)


def _name(wnid: str) -> str:
    label = wnid_labels().get(wnid)
    return wnid if label is None else _published("2012")[label].names


def wnid_labels(order: str = "2012") -> Mapping[str, int]:
    """Return the label of every WordNet id in an order."""
    return _published_labels(order) if order in LABEL_ORDERS else _labels(synsets(order))


def _labels(classes: Sequence[Synset]) -> Mapping[str, int]:
    return {synset.wnid: label for label, synset in enumerate(classes)}


@cache
def _published_labels(order: str) -> Mapping[str, int]:
    return _labels(_published(order))


def label_permutation(from_order: str, to_order: str) -> tuple[int, ...]:
    """Return ``p`` with ``p[label in from_order] = label in to_order``, by WordNet id; -1 where it lacks the class."""
    index = wnid_labels(to_order)
    return tuple(index.get(synset.wnid, -1) for synset in synsets(from_order))


def class_name(index: int, classes: int, order: str, names: Sequence[str] | None = None) -> str:
    """Return what output ``index`` of ``classes`` means; ``class 7`` where nobody says.

    Parameters
    ----------
    index, classes : int
    order : {"2012", "2015", "other", "unknown"} or path
        Of the network's outputs.
    names : sequence of str, optional
        The network's own names of its outputs.
    """
    if names is not None and len(names) == classes:
        return names[index]
    if is_order(order) and classes == len(synsets(order)):
        return synsets(order)[index].names
    return f"class {index}"
