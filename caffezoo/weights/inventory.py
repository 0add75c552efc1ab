"""What lies in the cache: list it, hash it again, throw it away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from caffezoo.weights.cache import Cache, CachedFile, cache_writes
from caffezoo.weights.parts import PARTS_ROOM
from caffezoo.weights.pins import PINS_ROOM
from caffezoo.weights.transfer import hashes_of_file

ROOMS = ("weights", "data")


@dataclass(frozen=True)
class Usage:
    """How much of the disk one part of the cache takes, bytes."""

    what: str
    files: int
    bytes: int


def cached_files(cache: Cache) -> Iterator[CachedFile]:
    """Yield every file that is as it was put there, network by network."""
    for room in ROOMS:
        for path in sorted((cache.root / room).glob("*/*.json")):
            found = cache.lookup(path.with_suffix(""))
            if found is not None:
                yield found


def foreign_files(cache: Cache) -> Iterator[Path]:
    """Yield files among the cached ones that are not as they were put there, or were put there by others."""
    known = {found.path for found in cached_files(cache)}
    for room in ROOMS:
        for path in sorted((cache.root / room).glob("*/*")):
            if path.suffix not in (".json", ".lock") and path not in known:
                yield path


def check_file(found: CachedFile) -> str:
    """Hash a cached file again; return what is wrong with it, or nothing."""
    try:
        now = hashes_of_file(str(found.path), {"sha256"})["sha256"]
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if now == found.sha256 else f"its sha256 is {now}, it was {found.sha256}"


def usage(cache: Cache) -> list[Usage]:
    """Return what each part of the cache takes, the largest first."""
    found = []
    for folder in sorted(p for p in cache.root.glob("*") if p.is_dir()):
        sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        found.append(Usage(folder.name, len(sizes), sum(sizes)))
    return sorted(found, key=lambda usage: -usage.bytes)


def prune(cache: Cache, wanted: Callable[[str], bool], *, files: bool, pins: bool) -> int:
    """Remove what unfinished fetches left behind; on demand also whole files and pins.

    A network that another process is fetching is left alone.

    Parameters
    ----------
    cache : Cache
    wanted : callable
        Says of a network's name whether it is meant.
    files : bool
        Remove the cached files too.
    pins : bool
        Forget the hashes that were first seen.

    Returns
    -------
    int
        Bytes that are free now.

    Raises
    ------
    CacheError
        Something cannot be removed.
    """
    rooms = [PARTS_ROOM, *(ROOMS if files else ()), *([PINS_ROOM] if pins else [])]
    freed = 0
    for room in rooms:
        for folder in sorted((cache.root / room).glob("*")):
            if folder.is_dir() and wanted(folder.name) and not _is_busy(cache, folder.name):
                freed += _remove(folder)
    staging = cache.root / "staging"
    for left in sorted(staging.glob("fetch-*")):
        if wanted("") and not any(_is_busy(cache, p.name) for p in (cache.root / "weights").glob("*")):
            freed += _remove(left)
    return freed


def _is_busy(cache: Cache, name: str) -> bool:
    """Whether a process holds a lock among a network's files."""
    import fcntl

    for lock in (cache.root / "weights" / name).glob("*.lock"):
        with suppress(OSError), open(lock, "rb") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _remove(folder: Path) -> int:
    freed = 0
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            freed += os.lstat(path).st_size
    with cache_writes(folder):
        shutil.rmtree(folder)
    return freed
