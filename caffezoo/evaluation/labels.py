"""Label lists: text files of ``path label`` lines, as Caffe's ILSVRC2012_val.txt.

A line's last word is the label, a whole number from 0; everything before it is the path, which may hold spaces. Blank
lines and trailing blanks are passed over. Images are looked for under a folder by the whole path, then by the file
name, because published lists carry prefixes of other people's machines.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from caffezoo.errors import DataError

MAX_LIST_BYTES = 1 << 28
IMAGE_ENDINGS = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")


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
    """

    path: str
    label: int
    where: str = ""


def read_label_list(
    path: str | os.PathLike[str], *, limit: int | None = None, first: int = 0
) -> tuple[LabelledImage, ...]:
    """Read a label list.

    Parameters
    ----------
    path : path-like
    limit : int, optional
        Read only that many images.
    first : int, optional
        What the list counts from; it is subtracted.

    Returns
    -------
    tuple of LabelledImage
        Paths as they stand in the list.

    Raises
    ------
    DataError
        Missing, not text, empty, a line without a whole-number label, or a path listed twice; ``where`` is file:line.
    """
    where = os.fspath(path)
    images: list[LabelledImage] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(_lines(where), 1):
        if limit is not None and len(images) >= limit:
            break
        words = line.rsplit(None, 1)
        if not words:
            continue
        at = f"{where}:{number}"
        if len(words) < 2:
            raise DataError(f"'{_short(line)}' is not a 'path label' line", where=at, hint=_what_it_is(line))
        name, label = words[0].strip(), words[1]
        if not (label.isascii() and label.isdigit() and len(label) <= 9):
            raise DataError(f"label '{_short(label)}' is not a whole number from 0", where=at, hint=_what_it_is(line))
        if int(label) < first:
            raise DataError(f"label {label} is below {first}, which --labels-from says is the first", where=at)
        if name in first_line:
            raise DataError(f"'{_short(name)}' is listed twice, first in line {first_line[name]}", where=at)
        first_line[name] = number
        images.append(LabelledImage(name, int(label) - first, at))
    if not images:
        raise DataError("the list holds no image", where=where, hint="it wants lines of 'path label'")
    return tuple(images)


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
        located.append(LabelledImage(path, image.label, image.where))
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


def _lines(where: str) -> list[str]:
    try:
        size_bytes = os.stat(where).st_size
        if size_bytes > MAX_LIST_BYTES:
            raise DataError(f"{size_bytes} bytes are too many for a label list", where=where)
        return Path(where).read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError("no such label list", where=where) from None
    except UnicodeDecodeError as error:
        hint = _what_holds(error.object[:512])
        raise DataError(f"not a text file (byte {error.start})", where=where, hint=hint) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=where) from error


def _what_it_is(line: str) -> str | None:
    """Return the next step for lists of other makes."""
    words = line.strip()
    if words.isdigit():
        return (
            "mere labels, as ILSVRC2012_validation_ground_truth.txt of the development kit: the labels of the"
            " validation images are built in, so leave --val-file out"
        )
    if "ImageId" in words or re.match(r"ILSVRC2012_val_\d{8},", words):
        return (
            "Kaggle's LOC_val_solution.csv: the labels of the validation images are built in, so leave --val-file out"
        )
    if "," in words:
        return "a table of commas: write lines of 'path label', without a heading"
    return None


def _what_holds(data: bytes) -> str | None:
    """Return the next step for a file that is no list."""
    if data[257:262] == b"ustar" or data[:2] in (b"\x1f\x8b", b"PK"):
        kind = "zip" if data[:2] == b"PK" else "gzip" if data[:1] == b"\x1f" else "tar"
        return f"it is a {kind} archive: unpack it and give the folder"
    return None


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


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
