"""Which class a folder stands for: a WordNet id, a number, or a name. Never its place among the others.

``10`` sorts before ``2`` as text: data whose class is taken from the order of its folders is wrong in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from caffezoo.data.base import Dataset, Pixels, Sample
from caffezoo.errors import DataError
from caffezoo.zoo.synsets import synsets, wnid_labels

_WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class FolderClasses:
    """What the folders' names say.

    Attributes
    ----------
    by : {"wnid", "number", "name"}
    labels : dict of str to int
        Of every folder; WordNet ids and ImageNet's names in 2012 order.
    """

    by: str
    labels: dict[str, int]

    @property
    def is_imagenet(self) -> bool:
        """Whether the labels are those of ImageNet in 2012 order."""
        return self.by == "wnid"


class ClassFolders(Dataset):
    """A data set whose labels are those of its images' folders; images elsewhere are left out."""

    def __init__(self, dataset: Dataset, classes: FolderClasses) -> None:
        self.dataset = dataset
        self.classes = classes
        self.name = dataset.name
        self.kind = dataset.kind  # type: ignore[misc]
        self.decodes_to = dataset.decodes_to
        self.labels_from = f"{len(classes.labels)} class folders, by {classes.by}"
        self._places = tuple(i for i, s in enumerate(dataset) if class_folder(s.key) in classes.labels)

    def __len__(self) -> int:
        return len(self._places)

    def sample(self, index: int) -> Sample:
        found = self.dataset[self._places[index]]
        folder = class_folder(found.key)
        return replace(found, label=self.classes.labels[folder], where=found.where)

    def read(self, index: int) -> bytes | Pixels:
        return self.dataset.read(self._places[index])


def class_folder(key: str) -> str:
    """Return the name of the folder that an image is in; empty where it is in none."""
    return key.rpartition("/")[0].rpartition("/")[2]


def folder_classes(
    folders: Iterable[str], *, names: Sequence[str] | None = None, labels_from: int = 0, where: str = ""
) -> FolderClasses | None:
    """Say which classes folders stand for.

    Parameters
    ----------
    folders : iterable of str
        Names of the folders that hold images.
    names : sequence of str, optional
        Names of the classes in the order of their labels, for folders that are named so.
    labels_from : {0, 1}, optional
        The number of the first class, for folders named by number.
    where : str, optional
        For messages.

    Returns
    -------
    FolderClasses or None
        None where the names say nothing.

    Raises
    ------
    DataError
        Some folders say what they are and some do not, or two stand for one class.
    """
    found = sorted(set(folders) - {""})
    wnids = [folder for folder in found if _WNID.fullmatch(folder)]
    if wnids:
        unknown = [folder for folder in wnids if folder not in wnid_labels()]
        if unknown and len(unknown) == len(wnids):
            raise DataError(f"class folder '{unknown[0]}' is none of ImageNet's 1000 classes", where=where)
        return FolderClasses("wnid", {folder: wnid_labels()[folder] for folder in wnids if folder not in unknown})
    if len(found) > 1 and all(folder.isascii() and folder.isdigit() and len(folder) < 7 for folder in found):
        labels = {folder: int(folder) - labels_from for folder in found}
        if min(labels.values()) < 0:
            raise DataError(
                f"class folder '{found[0]}' is below {labels_from}, the first by --labels-from", where=where
            )
        if len(set(labels.values())) < len(found):
            raise DataError("two class folders have one number", where=where)
        return FolderClasses("number", labels)
    table = _name_table(names)
    known = {folder: table[_plain(folder)] for folder in found if _plain(folder) in table}
    if not known:
        return None
    if len(known) < len(found):
        missing = next(folder for folder in found if folder not in known)
        raise DataError(
            f"{len(known)} of its {len(found)} folders are names of classes, and '{missing}' is not",
            where=where,
            hint="give a list with --val-file, or the names of the classes with --classes FILE",
        )
    if len(set(known.values())) < len(known):
        raise DataError("two class folders have one class's name", where=where)
    return FolderClasses("name", known)


def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet's classes, 2012 order: ``tench, Tinca tinca``."""
    return tuple(synset.names for synset in synsets("2012"))


def _name_table(names: Sequence[str] | None) -> dict[str, int]:
    """Map every spelling of a class's name to its label; a word that two classes share identifies none."""
    table: dict[str, int] = {}
    twice: set[str] = set()
    for label, name in enumerate(names or ()):
        for spelling in {_plain(name), *(_plain(part) for part in name.split(","))}:
            if table.setdefault(spelling, label) != label:
                twice.add(spelling)
    return {spelling: label for spelling, label in table.items() if spelling not in twice}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()
