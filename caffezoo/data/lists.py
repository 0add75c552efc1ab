"""Label lists in the forms that people have them.

- ``path label`` lines, as Caffe's ILSVRC2012_val.txt: the last word is the label, a whole number or a WordNet id; tabs,
  CRLF, a byte order mark and spaces in paths do no harm;
- comma separated ``path,label`` lines, with or without a heading;
- Kaggle's LOC_val_solution.csv (``ImageId,PredictionString``: the first WordNet id is the class);
- one column of numbers, the devkit's ILSVRC2012_validation_ground_truth.txt, whose ids 1..1000 are in an order of their
  own: :func:`devkit_labels` proves them against the published labels.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caffezoo.errors import DataError
from caffezoo.zoo.synsets import wnid_labels

MAX_LIST_BYTES = 1 << 28
_WNID = re.compile(r"n\d{8}")
_HEADINGS = {"label", "class", "class_id", "target", "predictionstring", "wnid", "synset", "labels"}


@dataclass(frozen=True)
class ListedImage:
    """A line of a list: an image's name and its class, from 0."""

    name: str
    label: int
    where: str


@dataclass(frozen=True)
class LabelList:
    """What a list said.

    Attributes
    ----------
    path : str
    images : tuple of ListedImage
        Empty for a list of numbers alone.
    numbers : tuple of int
        Of a list of numbers alone.
    by_wnid : bool
        The classes stood there as WordNet ids: labels are in 2012 order.
    lowest : int
        The lowest number before ``labels_from`` was subtracted.
    """

    path: str
    images: tuple[ListedImage, ...]
    numbers: tuple[int, ...] = ()
    by_wnid: bool = False
    lowest: int = 0


def read_list(path: str | os.PathLike[str], *, labels_from: int = 0, limit: int | None = None) -> LabelList:
    """Read a label list.

    Parameters
    ----------
    path : path-like
    labels_from : {0, 1}, optional
        The number of the first class.
    limit : int, optional
        Read only that many images.

    Raises
    ------
    DataError
        Missing, not text, empty, a line without a label, a name listed twice; ``where`` is file:line.
    """
    where = os.fspath(path)
    lines = [(number, line.strip()) for number, line in enumerate(_lines(where), 1) if line.strip()]
    if not lines:
        raise DataError("the list holds no image", where=where, hint="it wants lines of 'path label'")
    if all(line.isascii() and line.isdigit() for _, line in lines):
        numbers = tuple(int(line) for _, line in lines)[:limit]
        return LabelList(where, (), numbers, lowest=min(numbers))
    commas = all("," in line for _, line in lines[:5]) and (_has_wnid(lines[-1][1]) or not _is_path_label(lines[-1][1]))
    if commas and lines[0][1].rpartition(",")[2].strip().lower() in _HEADINGS:
        lines = lines[1:]
    images: list[ListedImage] = []
    first: dict[str, int] = {}
    kinds: set[bool] = set()
    lowest = 1 << 31
    for number, line in lines:
        if limit is not None and len(images) >= limit:
            break
        at = f"{where}:{number}"
        name, label = _split_commas(line) if commas else _split_words(line)
        if not name or not label:
            raise DataError(f"'{_short(line)}' is not a 'path label' line", where=at)
        wnid = _WNID.fullmatch(label)
        kinds.add(wnid is not None)
        if wnid:
            if label not in wnid_labels():
                raise DataError(f"'{label}' is none of ImageNet's 1000 classes", where=at)
            value = wnid_labels()[label]
        elif label.isascii() and label.isdigit() and len(label) <= 9:
            value = int(label) - labels_from
            lowest = min(lowest, int(label))
            if value < 0:
                raise DataError(f"label {label} is below {labels_from}, the first by --labels-from", where=at)
        else:
            raise DataError(f"label '{_short(label)}' is not a whole number from {labels_from}", where=at)
        if name in first:
            raise DataError(f"'{_short(name)}' is listed twice, first in line {first[name]}", where=at)
        first[name] = number
        images.append(ListedImage(name, value, at))
    if len(kinds) == 2:
        raise DataError("some labels are numbers and some WordNet ids", where=where)
    if not images:
        raise DataError("the list holds no image", where=where, hint="it wants lines of 'path label'")
    return LabelList(where, tuple(images), by_wnid=True in kinds, lowest=0 if True in kinds else lowest)


def devkit_labels(numbers: Sequence[int], known: Sequence[int], where: str) -> tuple[int, ...]:
    """Turn the validation set's numbers, one an image in file order, into labels in 2012 order.

    The devkit's ids are an order of their own. They are not believed but proved: each id must stand for one published
    label throughout.

    Parameters
    ----------
    numbers : sequence of int
        From the list, in order of the file names.
    known : sequence of int
        The published labels of the 50,000 images, 2012 order.
    where : str
        The list, for messages.

    Raises
    ------
    DataError
        An id stands for two labels: the list is of other images, or in another order.
    """
    meaning: dict[int, tuple[int, int]] = {}
    if len(numbers) > len(known):
        raise DataError(f"{len(numbers)} numbers, and the validation set has {len(known)} images", where=where)
    for line, (number, label) in enumerate(zip(numbers, known, strict=False), 1):
        earlier = meaning.setdefault(number, (label, line))
        if earlier[0] != label:
            raise DataError(
                f"number {number} stands for class {earlier[0]} in line {earlier[1]} and for class {label} here by the"
                " published labels of the validation set",
                where=f"{where}:{line}",
                hint="a list of numbers alone can be that set's, in the order of its files, and no other",
            )
    if len({label for label, _ in meaning.values()}) != len(meaning):
        raise DataError("two of its numbers stand for one class of the published labels", where=where)
    return tuple(known[: len(numbers)])


def _has_wnid(line: str) -> bool:
    """Whether a WordNet id stands behind the first comma, as in Kaggle's list."""
    return _WNID.match(line.partition(",")[2].strip()) is not None


def _is_path_label(line: str) -> bool:
    """Whether a line is words with a number behind, which may hold commas in its path."""
    name, label = _split_words(line)
    return bool(name) and "," not in label and label.isdigit()


def _split_words(line: str) -> tuple[str, str]:
    words = line.rsplit(None, 1)
    return (words[0].strip().strip('"'), words[1].strip('"')) if len(words) == 2 else (line, "")


def _split_commas(line: str) -> tuple[str, str]:
    name, _, label = line.partition(",") if _has_wnid(line) else line.rpartition(",")
    words = label.strip().strip('"').split()
    return name.strip().strip('"'), words[0] if words else ""


def _lines(where: str) -> list[str]:
    try:
        size_bytes = os.stat(where).st_size
        if size_bytes > MAX_LIST_BYTES:
            raise DataError(f"{size_bytes} bytes are too many for a label list", where=where)
        return Path(where).read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError("no such label list", where=where) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not a text file (byte {error.start})", where=where) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=where) from error


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
