"""Which images are evaluated, and what is in them: a data set of any kind, a list, or the sample, as one value."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from caffezoo.data.label_sets import VALIDATION_LIST
from caffezoo.data.lists import read_list
from caffezoo.data.opening import DataOptions, holds_images, open_images
from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.image_objects import ImageLike, Stored
from caffezoo.evaluation.labelling import is_numbered, label_listed, label_themselves
from caffezoo.evaluation.labels import LabelledImage, images_sha256, locate_images
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.synsets import synsets

if TYPE_CHECKING:
    from caffezoo.data.base import Dataset as Source

SAMPLE = "sample"
VALIDATION_FOLDER = "~/Database/ILSVRC2012"
"""Where soeaver/caffe-model's evaluation script looks for the validation images."""

# Where the validation archives are commonly unpacked below a data folder.
_VALIDATION_SUBFOLDERS = ("val", "ILSVRC2012_img_val", "Data/CLS-LOC/val", "ILSVRC/Data/CLS-LOC/val")

LISTED = "listed"
"""A list's order that says: believe the labels as they stand, whatever the names tell."""


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes
    ----------
    name : str
        The path of the data, or ``sample``.
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
    source : caffezoo.data.base.Dataset or None
        What the images are read from, by their places; None where they are files.
    """

    name: str
    images: tuple[LabelledImage, ...]
    label_list: str
    label_list_sha256: str = ""
    order: str | None = None
    order_said_by: str = ""
    listed: bool = False
    notes: tuple[str, ...] = ()
    source: Source | None = None

    @property
    def images_sha256(self) -> str:
        """Hash of the file names and labels, in order."""
        return images_sha256(self.images)

    def told_as(self, name: str) -> Dataset:
        """Return the same under the path that the user gave, where it was opened by another one."""
        return replace(self, name=name, label_list=name if self.label_list == self.name else self.label_list)

    def items(self, indices: Iterable[int]) -> Iterator[ImageLike]:
        """Yield what images are read from, for the pipeline."""
        for index in indices:
            image = self.images[index]
            yield image.path if self.source is None else Stored(self.source, image.place, image.path)


def open_dataset(
    data: str | os.PathLike[str] | None = None,
    *,
    val_file: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    list_order: str | None = None,
    labels_from: int = 0,
    options: DataOptions | None = None,
    sample: Callable[[], Iterable[tuple[Path, int]]] | None = None,
) -> Dataset:
    """Find images and labels.

    Parameters
    ----------
    data : path-like, optional
        A folder of images, anything that :func:`caffezoo.data.opening.open_images` opens, a list of ``path label``
        lines, or ``"sample"``. None: the folder in ``CAFFEZOO_DATA``, else ``~/Database/ILSVRC2012``.
    val_file : path-like, optional
        The labels. Without it databases, shards and class folders give their own, the ILSVRC2012 validation images
        have theirs from ``cls/ILSVRC2012_val.txt``, and names that begin with a WordNet id tell theirs.
    limit : int, optional
        Only that many images.
    list_order : {"2012", "2015", "listed"} or path, optional
        The order in which labels number the classes: a published one, or a file of WordNet ids; ``listed`` believes
        the labels as they stand.
    labels_from : {0, 1}, optional
        The number of the first class.
    options : DataOptions, optional
        Columns, channel order and names of classes of containers.
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
    if labels_from not in (0, 1):
        raise UsageError(f"labels from {labels_from} are unknown", hint="they count from 0 or from 1")
    if list_order not in (None, LISTED):
        synsets(list_order)  # raises where there is no such order
    name = os.fspath(data) if data is not None else _default_folder()
    if name == SAMPLE:
        if val_file is not None or list_order is not None or labels_from:
            raise UsageError(
                "--data sample has its own labels", hint="leave --val-file, --label-order and --labels-from out"
            )
        return _sample(sample, limit)
    if not os.path.exists(name):
        raise DataError("no such folder or list of images", where=name, hint="`--data sample` works without one")
    said_by = "--label-order" if list_order else ""
    options = DataOptions(**{**vars(options or DataOptions()), "labels_from": labels_from})
    if not holds_images(name):
        if val_file is not None:
            raise UsageError(f"--data {name} is a list with labels", hint="leave --val-file out, or give a folder")
        return _of_files(name, name, [os.path.dirname(name) or ".", "."], limit, list_order, labels_from)
    root = name if val_file is not None else _validation_folder(name)
    if val_file is not None and os.path.isdir(name) and not _is_database(name):
        return _of_files(name, os.fspath(val_file), [name], limit, list_order, labels_from)
    source = _opened(root, name, options)
    if val_file is not None:
        labelled = label_listed(source, os.fspath(val_file), labels_from=labels_from, limit=limit)
        digest = _sha256(val_file)
    else:
        if (list_order is not None or labels_from) and not is_numbered(source):
            flag = "--label-order is the order" if list_order is not None else "--labels-from is the first label"
            raise UsageError(f"{flag} of a list", hint="give --val-file")
        labelled, digest = label_themselves(source, labels_from=labels_from, limit=limit), ""
        if labelled.label_list == VALIDATION_LIST:
            digest = _sha256(data_path(VALIDATION_LIST))
    return Dataset(
        name,
        labelled.images,
        labelled.label_list,
        digest,
        list_order or labelled.order,
        said_by or labelled.order_said_by,
        listed=labelled.numbered,
        notes=(*labelled.notes, *([f"images are those below {root}"] if root != name else [])),
        source=source,
    )


def _sample(sample: Callable[[], Iterable[tuple[Path, int]]] | None, limit: int | None) -> Dataset:
    from caffezoo.weights.sample import sample_images

    found = list((sample or sample_images)())[:limit]
    images = tuple(LabelledImage(str(path), label, str(path)) for path, label in found)
    return Dataset(SAMPLE, images, SAMPLE, order="2012", order_said_by="the sample's own")


def _of_files(
    name: str, listed: str, folders: Sequence[str], limit: int | None, order: str | None, labels_from: int
) -> Dataset:
    """Take the files that a list names."""
    found = read_list(listed, labels_from=labels_from, limit=limit)
    if found.numbers:
        labelled = label_listed(
            _opened(name, name, DataOptions()) if name != listed else None, listed, labels_from=labels_from, limit=limit
        )
        files = tuple(LabelledImage(i.path, i.label, i.where) for i in labelled.images)
        return Dataset(
            name, files, listed, _sha256(listed), labelled.order, labelled.order_said_by, notes=labelled.notes
        )
    images = locate_images((LabelledImage(i.name, i.label, i.where) for i in found.images), folders)
    said_by = "--label-order" if order else ""
    if found.by_wnid and order is None:
        order, said_by = "2012", "WordNet ids in the list"
    return Dataset(name, images, listed, _sha256(listed), order, said_by, listed=True)


def _opened(root: str, name: str, options: DataOptions) -> Source:
    try:
        return open_images(root, options)
    except DataError as error:
        if error.message == "it holds no images" and os.path.isdir(name):
            error.hint = error.hint or "give the folder of the images, or an archive, a database, or a list of them"
        raise


def _is_database(folder: str) -> bool:
    """Whether a folder holds a database or shards instead of image files."""
    names = os.listdir(folder)
    return any(name == "data.mdb" or name.endswith((".tar", ".parquet")) for name in names)


def _validation_folder(name: str) -> str:
    """Return the folder of the validation images below that of a whole ImageNet; the folder itself otherwise."""
    if not os.path.isdir(name):
        return name
    for subfolder in _VALIDATION_SUBFOLDERS:
        root = os.path.join(name, subfolder)
        if os.path.isdir(root) and os.listdir(root):
            return root
    return name


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
        " give it as it is",
    )


def _sha256(path: str | os.PathLike[str]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
