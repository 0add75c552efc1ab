"""Labels of a dataset, numbered as the outputs of a network: what is believed, what is converted, what is refused."""

from __future__ import annotations

import os
from dataclasses import replace

from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.dataset import LISTED, Dataset
from caffezoo.evaluation.label_order import Evidence, evidence
from caffezoo.evaluation.labels import LabelledImage, check_labels
from caffezoo.zoo.synsets import LABEL_ORDERS, is_order, label_permutation, synsets

IMAGENET_CLASSES = 1000


def match_labels(dataset: Dataset, network_order: str, classes: int) -> Dataset:
    """Number a dataset's labels as a network's outputs are.

    What names of files prove (WordNet ids, the ILSVRC2012 validation set) is held against the labels. A list for a
    network of which nobody says the order is believed as it stands.

    Parameters
    ----------
    dataset : Dataset
        As :func:`caffezoo.evaluation.dataset.open_dataset` gives it.
    network_order : {"2012", "2015", "other", "unknown"} or path
        What the outputs are: ImageNet's classes in an order, other classes, or nobody says.
    classes : int
        Outputs of the network that are classes.

    Returns
    -------
    Dataset
        Its ``notes`` say what was converted or taken for granted, and why.

    Raises
    ------
    DataError
        Labels that contradict the names, that the network cannot have, or of another number of classes.
    UsageError
        ImageNet's labels for a network of other classes.
    """
    told = evidence(dataset.images) if dataset.order != LISTED else Evidence((), ())
    order, why = _order_of_list(dataset, told, network_order, classes)
    notes = list(dataset.notes)
    notes += _few_contradictions(told, order)
    if network_order == "other" and order is not None and dataset.order is not None:
        raise UsageError(
            "its labels are ImageNet's, and this network has other classes",
            where=f"--data {dataset.name}",
            hint="give --data and --val-file with labels of the network's own classes",
        )
    images = dataset.images
    if is_order(network_order):
        _check_count(
            len(synsets(network_order)), classes, f"its outputs are said to be in the order of {network_order}"
        )
        if order is not None and order != network_order:
            images = _renumbered(images, order, network_order)
            notes.append(f"labels are converted from the order of {order} ({why}) to the network's, {network_order}")
    elif order is not None and network_order == "unknown":
        _check_count(len(synsets(order)), classes, f"the labels are ImageNet's ({why})", dataset)
        taken = order if dataset.listed else LABEL_ORDERS[0]
        if order != taken:
            images = _renumbered(images, order, taken)
        like = "as the list does" if dataset.listed else "as nearly all networks do"
        notes.append(
            f"nobody says how the network numbers its classes: taken to be in the order of {taken}, {like}"
            " (--network-order says otherwise)"
        )
    check_labels(images, classes)
    if order is None:
        notes += _doubts(images, classes, dataset)
    return replace(dataset, images=images, notes=tuple(notes))


def _order_of_list(dataset: Dataset, told: Evidence, network_order: str, classes: int) -> tuple[str | None, str]:
    """Return the order that the labels are in and who says so; None where nobody does."""
    if dataset.order == LISTED:
        return None, ""
    if dataset.order is not None:
        if told.images and not told.proves(dataset.order):
            raise told.contradiction(dataset.order, stated=dataset.order_said_by)
        _check_range(dataset.images, dataset.order)
        return dataset.order, dataset.order_said_by
    if not told.images:
        return None, ""
    orders = [
        *LABEL_ORDERS,
        *([network_order] if is_order(network_order) and network_order not in LABEL_ORDERS else []),
    ]
    proven = told.order(orders)
    if proven is not None:
        if network_order == "other" or (network_order == "unknown" and classes < IMAGENET_CLASSES):
            return None, ""  # a few classes of ImageNet, numbered the same by chance or by design
        return proven, "file names prove it"
    own = network_order == "other" or (network_order == "unknown" and classes < IMAGENET_CLASSES)
    if own and (told.is_a_numbering or network_order == "other"):
        return None, ""
    raise told.contradiction(network_order if is_order(network_order) else LABEL_ORDERS[0])


def _few_contradictions(told: Evidence, order: str | None) -> list[str]:
    """Tell labels that are not the name's, where most are."""
    if order is None or not told.images or told.agreeing(order) == len(told.images):
        return []
    return [str(told.contradiction(order, hint="they count as the list says"))]


def _check_range(images: tuple[LabelledImage, ...], order: str) -> None:
    classes = len(synsets(order))
    for image in images:
        if image.label >= classes:
            raise DataError(
                f"label {image.label} is out of range: {'ImageNet' if order in LABEL_ORDERS else order} has {classes}"
                f" classes, 0..{classes - 1}",
                where=image.where,
            )


def _renumbered(images: tuple[LabelledImage, ...], order: str, wanted: str) -> tuple[LabelledImage, ...]:
    permutation = label_permutation(order, wanted)
    renumbered = []
    for image in images:
        label = permutation[image.label] if image.label < len(permutation) else -1
        if label < 0:
            raise DataError(f"label {image.label} of {order} is no class of {wanted}", where=image.where or image.path)
        renumbered.append(replace(image, label=label))
    return tuple(renumbered)


def _check_count(wanted: int, classes: int, why: str, dataset: Dataset | None = None) -> None:
    if wanted == classes:
        return
    hint = "is it the network of this data?"
    if classes == wanted + 1:
        hint = "if its first output is the background, as in networks from TensorFlow, give --drop-background"
    where = f"--data {dataset.name}" if dataset is not None else None
    raise DataError(f"{why}: {wanted} classes, and the network has {classes} outputs", where=where, hint=hint)


def _doubts(images: tuple[LabelledImage, ...], classes: int, dataset: Dataset) -> list[str]:
    """Tell what looks like a mistake in labels that nothing proves."""
    labels = {image.label for image in images}
    low, high = min(labels), max(labels)
    doubts = []
    if low == 1 and len(images) > 1:
        doubts.append(
            f"no image has label 0 in {os.path.basename(dataset.label_list)}: if it counts from 1, give --labels-from 1"
        )
    if len(labels) == high + 1 >= 2 and high + 1 < classes:
        hint = "; if its first output is the background, give --drop-background" if high + 2 == classes else ""
        doubts.append(f"the labels are 0..{high}, and the network has {classes} outputs{hint}")
    elif classes == IMAGENET_CLASSES + 1:
        doubts.append(
            f"the network has {classes} outputs: if it is ImageNet's with the background first, give --drop-background"
        )
    return doubts
