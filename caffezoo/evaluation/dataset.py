"""Which images are evaluated, and what is in them: a folder, a list, or the built-in sample, as one value."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.label_order import VALIDATION_LIST
from caffezoo.evaluation.labels import IMAGE_ENDINGS, LabelledImage, images_sha256, locate_images, read_label_list
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.synsets import synsets, wnid_labels

SAMPLE = "sample"
VALIDATION_FOLDER = "~/Database/ILSVRC2012"
"""Where soeaver/caffe-model's evaluation script looks for the validation images."""

# Where the validation archives are commonly unpacked below a data folder.
_VALIDATION_SUBFOLDERS = ("", "val", "ILSVRC2012_img_val", "Data/CLS-LOC/val", "ILSVRC/Data/CLS-LOC/val")
_SAMPLE_ORDER = "2012"

LISTED = "listed"
"""A list's order that says: believe the labels as they stand, whatever the names tell."""


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes
    ----------
    name : str
        The folder, the list's path, or ``sample``.
    images : tuple of LabelledImage
        With labels as the list has them; :func:`caffezoo.evaluation.matching.match_labels` numbers them for a network.
    label_list : str
        What gave the labels.
    label_list_sha256 : str
        Hash of that file; empty where the labels are no file.
    order : str or None
        The order that the labels number ImageNet's classes in (2012, 2015, a file), ``listed`` where the list is to be
        believed as it stands, None where nobody says.
    order_said_by : str
        Who says so: a flag, WordNet ids.
    listed : bool
        Whether the labels are those of a user's list.
    notes : tuple of str
        What was decided that the user has to know of.
    """

    name: str
    images: tuple[LabelledImage, ...]
    label_list: str
    label_list_sha256: str = ""
    order: str | None = None
    order_said_by: str = ""
    listed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def images_sha256(self) -> str:
        """Hash of the file names and labels, in order."""
        return images_sha256(self.images)


def open_dataset(
    data: str | os.PathLike[str] | None = None,
    *,
    val_file: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    list_order: str | None = None,
    labels_from: int = 0,
    sample: Callable[[], Iterable[tuple[Path, int]]] | None = None,
) -> Dataset:
    """Find images and labels.

    Parameters
    ----------
    data : path-like, optional
        A folder of images, a list of ``path label`` lines, or ``"sample"``. None: the folder in ``CAFFEZOO_DATA``, else
        ``~/Database/ILSVRC2012``.
    val_file : path-like, optional
        The labels of a folder. Without it a folder of folders named by WordNet id gives its own, and the ILSVRC2012
        validation images have theirs from ``cls/ILSVRC2012_val.txt``.
    limit : int, optional
        Only that many images.
    list_order : {"2012", "2015", "listed"} or path, optional
        The order in which ``val_file`` or a list numbers the classes: a published one, or a file of WordNet ids;
        ``listed`` believes the list as it stands.
    labels_from : int, optional
        What the list counts from.
    sample : callable, optional
        Gives the sample's (path, label in 2012 order); the built-in twenty images if not given.

    Raises
    ------
    UsageError
        Flags that contradict each other.
    DataError
        No data, or none that can be labelled.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit} is below 1")
    if list_order not in (None, LISTED):
        synsets(list_order)  # raises where there is no such order
    name = os.fspath(data) if data is not None else _default_folder()
    if name == SAMPLE:
        if val_file is not None or list_order is not None or labels_from:
            raise UsageError(
                "--data sample has its own labels", hint="leave --val-file, --label-order and --labels-from out"
            )
        from caffezoo.weights.sample import sample_images

        found = list((sample or sample_images)())[:limit]
        images = tuple(LabelledImage(str(path), label, str(path)) for path, label in found)
        return Dataset(SAMPLE, images, SAMPLE, order=_SAMPLE_ORDER, order_said_by="the sample's own")
    said_by = "--label-order" if list_order else ""
    if os.path.isfile(name):
        if val_file is not None:
            raise UsageError(f"--data {name} is a list with labels", hint="leave --val-file out, or give a folder")
        folders = [os.path.dirname(name) or ".", "."]
        images = locate_images(read_label_list(name, limit=limit, first=labels_from), folders)
        return Dataset(name, images, name, _sha256(name), list_order, said_by, listed=True)
    if not os.path.isdir(name):
        raise DataError("no such folder or list of images", where=name, hint="`--data sample` works without one")
    if val_file is not None:
        listed = os.fspath(val_file)
        images = locate_images(read_label_list(listed, limit=limit, first=labels_from), [name])
        return Dataset(name, images, listed, _sha256(listed), list_order, said_by, listed=True)
    if list_order is not None or labels_from:
        flag = "--label-order is the order" if list_order is not None else "--labels-from is the first label"
        raise UsageError(f"{flag} of a list", hint="give --val-file")
    return _labelled_folder(name, limit)


def _default_folder() -> str:
    named = os.environ.get("CAFFEZOO_DATA")
    if named:
        return named
    folder = os.path.expanduser(VALIDATION_FOLDER)
    if os.path.isdir(folder):
        return folder
    raise UsageError(
        f"no data: --data and CAFFEZOO_DATA are not set and {VALIDATION_FOLDER} is not there",
        hint="`--data sample` works now; registered users get ILSVRC2012_img_val.tar (50,000 images) at image-net.org:"
        " unpack it and give its folder",
    )


def _labelled_folder(folder: str, limit: int | None) -> Dataset:
    """Label a folder that says by itself what is in it, in 2012 order."""
    for subfolder in _VALIDATION_SUBFOLDERS:
        root = os.path.join(folder, subfolder) if subfolder else folder
        if os.path.isdir(root) and (wnids := _class_folders(root)):
            return _of_class_folders(folder, root, wnids, limit)
    listed = read_label_list(data_path(VALIDATION_LIST), limit=limit)
    for subfolder in _VALIDATION_SUBFOLDERS:
        root = os.path.join(folder, subfolder) if subfolder else folder
        if any(os.path.isfile(os.path.join(root, image.path)) for image in listed[:100]):
            images = locate_images(listed, [root])
            digest = _sha256(data_path(VALIDATION_LIST))
            return Dataset(folder, images, VALIDATION_LIST, digest, _SAMPLE_ORDER, "the published labels")
    raise DataError(
        "no labels: neither ILSVRC2012_val_*.JPEG files nor class folders (n01440764, ...) are in it",
        where=folder,
        hint="give --val-file with lines of 'path label'",
    )


def _class_folders(root: str) -> list[str]:
    index = wnid_labels()
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.name in index and entry.is_dir())


def _of_class_folders(folder: str, root: str, wnids: list[str], limit: int | None) -> Dataset:
    index = wnid_labels()
    images = [
        LabelledImage(os.path.join(root, wnid, file), index[wnid], os.path.join(root, wnid))
        for wnid in wnids
        for file in sorted(os.listdir(os.path.join(root, wnid)))
        if file.lower().endswith(IMAGE_ENDINGS)
    ]
    if not images:
        raise DataError(f"its {len(wnids)} class folders hold no images", where=root)
    return Dataset(
        folder,
        tuple(images[:limit]),
        f"{len(wnids)} class folders",
        order=_SAMPLE_ORDER,
        order_said_by="folders named by WordNet id",
    )


def _sha256(path: str | os.PathLike[str]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
