"""A folder of class folders as a training's two lists."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffezoo.errors import DataError
from caffezoo.training.imageset import Listed, class_folders

PARTS = (("train", "val"), ("train", "validation"), ("training", "validation"), ("train", "test"))


@dataclass(frozen=True)
class Split:
    """Images to train on and to validate with.

    Attributes
    ----------
    train, val : tuple of (path, label)
        Absolute paths.
    classes : tuple of str
        In the order of the labels.
    how : str
        What decided which image is where.
    """

    train: tuple[Listed, ...]
    val: tuple[Listed, ...]
    classes: tuple[str, ...]
    how: str

    def weights(self) -> list[float]:
        """Return a weight a class that makes all classes count alike, 1 on average over the training images."""
        counts = Counter(label for _, label in self.train)
        return [len(self.train) / (len(self.classes) * counts[label]) for label in range(len(self.classes))]


def split_folder(root: str, val_share: float = 0.2, seed: int = 0) -> Split:
    """Return the split of a folder: its own (``train`` and ``val`` in it), or a share of every class, by seed.

    Raises
    ------
    DataError
        There are fewer than two classes, an empty one, or one of a single image; ``train`` and ``val`` differ.
    """
    for train_name, val_name in PARTS:
        train_folder, val_folder = os.path.join(root, train_name), os.path.join(root, val_name)
        if os.path.isdir(train_folder) and os.path.isdir(val_folder):
            train, classes = class_folders(train_folder)
            val, val_classes = class_folders(val_folder)
            if classes != val_classes:
                other = sorted(set(classes) ^ set(val_classes))
                raise DataError(f"class '{other[0]}' is not in both {train_name} and {val_name}", where=root)
            _check(classes, root)
            how = f"the folders {train_name} and {val_name}"
            return Split(_absolute(train_folder, train), _absolute(val_folder, val), tuple(classes), how)
    images, classes = class_folders(root)
    _check(classes, root)
    rng = np.random.default_rng(seed)
    parts: tuple[list[Listed], list[Listed]] = ([], [])
    for label, name in enumerate(classes):
        own = [image for image in images if image[1] == label]
        if len(own) < 2:
            raise DataError(f"class '{name}' has one image: two are needed, to train and to validate", where=root)
        count = min(max(round(len(own) * val_share), 1), len(own) - 1)
        chosen = set(rng.permutation(len(own))[:count].tolist())
        for i, image in enumerate(own):
            parts[i in chosen].append(image)
    how = f"{val_share:.0%} of every class to validate with, by seed {seed}"
    return Split(_absolute(root, parts[0]), _absolute(root, parts[1]), tuple(classes), how)


def write_list(path: str, images: Sequence[Listed]) -> None:
    """Write ``path label`` lines."""
    with open(path, "w", errors="surrogateescape") as file:
        file.writelines(f"{name} {label}\n" for name, label in images)


def _check(classes: Sequence[str], root: str) -> None:
    if len(classes) < 2:
        raise DataError(f"there is one class, '{classes[0]}': two are needed", where=root)


def _absolute(root: str, images: Sequence[Listed]) -> tuple[Listed, ...]:
    root = os.path.abspath(root)
    return tuple((os.path.join(root, name), label) for name, label in images)
