"""Which images are evaluated, and what is in them: a folder, a list, or the built-in sample, as one value."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.label_order import VALIDATION_LIST, recognise_order
from caffezoo.evaluation.labels import LabelledImage, images_sha256, locate_images, read_label_list
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.synsets import LABEL_ORDERS, label_permutation, wnid_labels

SAMPLE = "sample"
VALIDATION_FOLDER = "~/Database/ILSVRC2012"
"""Where soeaver/caffe-model's evaluation script looks for the validation images."""

# Where the validation archives are commonly unpacked below a data folder.
_VALIDATION_SUBFOLDERS = ("", "val", "ILSVRC2012_img_val", "Data/CLS-LOC/val", "ILSVRC/Data/CLS-LOC/val")
_IMAGE_ENDINGS = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
_SAMPLE_ORDER = "2012"


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes
    ----------
    name : str
        The folder, the list's path, or ``sample``.
    images : tuple of LabelledImage
    label_list : str
        What gave the labels.
    label_list_sha256 : str
        Hash of that file; empty where the labels are no file.
    """

    name: str
    images: tuple[LabelledImage, ...]
    label_list: str
    label_list_sha256: str = ""

    @property
    def images_sha256(self) -> str:
        """Hash of the file names and labels, in order."""
        return images_sha256(self.images)


def open_dataset(
    data: str | os.PathLike[str] | None = None,
    *,
    val_file: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    network_order: str = "2012",
    list_order: str | None = None,
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
    network_order : {"2012", "2015", "other"}, optional
        The order of the network's outputs.
    list_order : {"2012", "2015"}, optional
        The order in which ``val_file`` or a list numbers the classes. If not given, the one that file names prove
        (WordNet ids, the ILSVRC2012 validation set), else the network's own.
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
    name = os.fspath(data) if data is not None else _default_folder()
    if name == SAMPLE:
        if val_file is not None or list_order is not None:
            raise UsageError("--data sample has its own labels", hint="leave --val-file and --label-order out")
        from caffezoo.weights.sample import sample_images

        found = list((sample or sample_images)())[:limit]
        images = tuple(LabelledImage(str(path), label, str(path)) for path, label in found)
        return _in_order(Dataset(SAMPLE, images, SAMPLE), _SAMPLE_ORDER, network_order)
    if os.path.isfile(name):
        if val_file is not None:
            raise UsageError(f"--data {name} is a list with labels", hint="leave --val-file out, or give a folder")
        folders = [os.path.dirname(name) or ".", "."]
        images = locate_images(read_label_list(name, limit=limit), folders)
        return _in_order(Dataset(name, images, name, _sha256(name)), list_order, network_order)
    if not os.path.isdir(name):
        raise DataError("no such folder or list of images", where=name, hint="`--data sample` works without one")
    if val_file is not None:
        listed = os.fspath(val_file)
        images = locate_images(read_label_list(listed, limit=limit), [name])
        return _in_order(Dataset(name, images, listed, _sha256(listed)), list_order, network_order)
    if list_order is not None:
        raise UsageError("--label-order is the order of a list", hint="give --val-file")
    return _in_order(_labelled_folder(name, limit), _SAMPLE_ORDER, network_order)


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
    index = wnid_labels()
    with os.scandir(folder) as entries:
        wnids = sorted(entry.name for entry in entries if entry.name in index and entry.is_dir())
    if wnids:
        images = [
            LabelledImage(os.path.join(folder, wnid, file), index[wnid], os.path.join(folder, wnid))
            for wnid in wnids
            for file in sorted(os.listdir(os.path.join(folder, wnid)))
            if file.lower().endswith(_IMAGE_ENDINGS)
        ]
        if not images:
            raise DataError(f"its {len(wnids)} class folders hold no images", where=folder)
        return Dataset(folder, tuple(images[:limit]), f"{len(wnids)} class folders")
    listed = read_label_list(data_path(VALIDATION_LIST), limit=limit)
    for subfolder in _VALIDATION_SUBFOLDERS:
        root = os.path.join(folder, subfolder) if subfolder else folder
        if any(os.path.isfile(os.path.join(root, image.path)) for image in listed[:100]):
            images_found = locate_images(listed, [root])
            return Dataset(folder, images_found, VALIDATION_LIST, _sha256(data_path(VALIDATION_LIST)))
    raise DataError(
        "no labels: neither ILSVRC2012_val_*.JPEG files nor class folders (n01440764, ...) are in it",
        where=folder,
        hint="give --val-file with lines of 'path label'",
    )


def _in_order(dataset: Dataset, order: str | None, network_order: str) -> Dataset:
    """Number the labels as the network does; an order that nobody states is the one that the file names prove."""
    if order is None and network_order in LABEL_ORDERS:
        order = recognise_order(dataset.images)
    if order is None or order == network_order:
        return dataset
    if network_order not in LABEL_ORDERS:
        raise UsageError(
            "its labels are ImageNet's, and this network has other classes",
            where=f"--data {dataset.name}",
            hint="give --data and --val-file with labels of the network's own classes",
        )
    permutation = label_permutation(order, network_order)
    images = []
    for image in dataset.images:
        if image.label >= len(permutation):
            raise DataError(
                f"label {image.label} is out of range: ImageNet has 1000 classes, 0..999", where=image.where
            )
        images.append(replace(image, label=permutation[image.label]))
    return replace(dataset, images=tuple(images))


def _sha256(path: str | os.PathLike[str]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
