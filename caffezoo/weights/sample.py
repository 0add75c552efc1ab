"""The twenty labelled ImageNet images behind ``--data sample``.

They are in the wheel of foolbox 3.3.4 as ``foolbox/data/imagenet_II_LABEL.jpg``, labels in the order of 2012
(sorted WordNet ids): enough to see that a network works, too few to measure one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from caffezoo.errors import VerificationError
from caffezoo.weights.archive import member_chunks
from caffezoo.weights.cache import Cache
from caffezoo.weights.events import Progress
from caffezoo.weights.options import FetchOptions
from caffezoo.weights.parts import Part
from caffezoo.weights.pypi import open_archive
from caffezoo.weights.transfer import Published, Transfer

RELEASE = "foolbox==3.3.4"
ARCHIVE = "foolbox-3.3.4-py3-none-any.whl"
ARCHIVE_BYTES = 1677112
ARCHIVE_SHA256 = "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb"
MAX_IMAGE_BYTES = 1 << 20
LABELS = (243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22, 317, 305)
NAMES = tuple(f"imagenet_{i:02d}_{label}.jpg" for i, label in enumerate(LABELS))


def sample_images(cache: Cache | None = None, progress: Progress | None = None) -> list[tuple[Path, int]]:
    """Return the sample images, fetched on the first call.

    Parameters
    ----------
    cache : Cache, optional
    progress : callable, optional
        Called with a :class:`~caffezoo.weights.events.FetchProgress` for every chunk of the wheel.

    Returns
    -------
    list of (Path, int)
        JPEG files and their labels, 0..999, order of 2012.

    Raises
    ------
    FetchError
        The wheel could not be had, or is not the published one.
    """
    cache = cache if cache is not None else Cache()
    targets = [cache.path("sample", name, room="data") for name in NAMES]
    if not all(_is_there(cache, target) for target in targets):
        # The first image's lock stands for the set.
        with cache.lock(targets[0]):
            if not all(_is_there(cache, target) for target in targets):
                _fetch(cache, targets, progress)
    return list(zip(targets, LABELS, strict=True))


def _is_there(cache: Cache, target: Path) -> bool:
    found = cache.lookup(target)
    return found is not None and found.recipe == ARCHIVE_SHA256


def _fetch(cache: Cache, targets: list[Path], progress: Progress | None) -> None:
    place = f"pypi {RELEASE}"
    part = Part(cache, "sample", place)
    wanted = Published(ARCHIVE_BYTES, ("sha256", ARCHIVE_SHA256))
    Transfer(
        "sample",
        place,
        "archive",
        lambda request: open_archive(RELEASE, ARCHIVE, request, sha256=ARCHIVE_SHA256),
        part,
        wanted,
        FetchOptions(),
        progress or (lambda event: None),
    ).run()
    try:
        with cache.staging() as scratch:
            for target in targets:
                image = b"".join(member_chunks(part.path, f"foolbox/data/{target.name}", max_bytes=MAX_IMAGE_BYTES))
                if not image.startswith(b"\xff\xd8\xff"):
                    raise VerificationError(f"{target.name} is not a JPEG image", where=place)
                staged = scratch / target.name
                staged.write_bytes(image)
                digest = hashlib.sha256(image).hexdigest()
                cache.adopt(staged, target, sha256=digest, source=place, recipe=ARCHIVE_SHA256)
    finally:
        part.discard()
