"""Labelled images, and where listed ones are on disk.

Images are looked for under a folder by the whole path, then by the file name, because published lists carry prefixes of
other people's machines.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from caffezoo.data.base import IMAGE_ENDINGS
from caffezoo.errors import DataError


@dataclass(frozen=True)
class LabelledImage:
    """An image and its true class.

    Attributes
    ----------
    path : str
    label : int
        Class index from 0.
    where : str
        ``file:line`` that says so, for error messages.
    place : int or None
        Its place in the container that it is read from; None for a file, and for what is not there.
    """

    path: str
    label: int
    where: str = ""
    place: int | None = None


def locate_images(
    images: Iterable[LabelledImage], folders: Iterable[str | os.PathLike[str]]
) -> tuple[LabelledImage, ...]:
    """Find listed images on disk.

    Each is looked for at its own path (absolute, or below one of the folders), then by file name in the folders, then
    by file name in all folders below them. What is not found keeps its path below the first folder, so that reading
    reports it.

    Raises
    ------
    DataError
        None of the images is there, or two entries of the list lead to one file.
    """
    images = tuple(images)
    roots = [os.fspath(folder) for folder in folders]
    by_name: dict[str, str | None] | None = None
    located: list[LabelledImage] = []
    missing = 0
    for image in images:
        path = _at_own_place(image.path, roots)
        if path is None:
            if by_name is None:
                by_name = _files_by_name(roots)
            path = by_name.get(os.path.basename(image.path))
        if path is None:
            missing += 1
            path = os.path.join(roots[0], image.path.lstrip("/"))
        located.append(replace(image, path=path))
    if missing == len(images):
        raise DataError(
            f"none of the {missing} listed images is there, not even '{os.path.basename(images[0].path)}'",
            where=roots[0],
            hint="is it the folder that the list was made for?",
        )
    seen: dict[str, LabelledImage] = {}
    for image in located:
        if (other := seen.setdefault(image.path, image)) is not image:
            raise DataError(f"the same file as in {other.where}: {image.path}", where=image.where)
    return tuple(located)


def check_labels(images: Iterable[LabelledImage], classes: int) -> None:
    """Raise DataError for the first label that a network of ``classes`` outputs cannot have."""
    images = tuple(images)
    for image in images:
        if image.label >= classes:
            raise DataError(
                f"label {image.label} is out of range: the network has {classes} classes, 0..{classes - 1}",
                where=image.where or image.path,
                hint=_why_too_large(images, classes),
            )


def _why_too_large(images: Iterable[LabelledImage], classes: int) -> str:
    labels = {image.label for image in images}
    if max(labels) == classes and 0 not in labels:
        return "if the list counts from 1, give --labels-from 1"
    return "is it the list of this network's data?"


def images_sha256(images: Iterable[LabelledImage]) -> str:
    """Return a hash of what was evaluated: the file names with their labels, in order, wherever the files lie."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{os.path.basename(image.path)} {image.label}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _at_own_place(name: str, roots: list[str]) -> str | None:
    if os.path.isabs(name) and os.path.isfile(name):
        return name
    relative = name.lstrip("/")
    for root in roots:
        for candidate in (os.path.join(root, relative), os.path.join(root, os.path.basename(name))):
            if os.path.isfile(candidate):
                return candidate
            if not candidate.lower().endswith(IMAGE_ENDINGS):  # some lists leave the ending out
                for ending in (".JPEG", *IMAGE_ENDINGS):
                    if os.path.isfile(candidate + ending):
                        return candidate + ending
    return None


def _files_by_name(roots: list[str]) -> dict[str, str | None]:
    """Map file names below the folders to their paths; a name that occurs twice maps to None."""
    found: dict[str, str | None] = {}
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                path = os.path.join(folder, name)
                found[name] = path if found.get(name, path) == path else None
    return found
