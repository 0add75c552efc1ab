"""A run is a directory: what determines the result, the outcomes of images in shards, and the summary.

::

    DIR/run.json            everything that determines the result
    DIR/shards/000007.json  what became of the images of one shard, and a hash over it
    DIR/summary.json        the result, when all shards are there

A shard is a fixed range of images, scored in batches of its own and written whole: to a file beside it that takes its
place when its bytes are on the disk. So a run that is killed, that loses power or its disk has each shard or has it
not, and what it does again comes out the same, to the last bit, as it would have.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from caffezoo.errors import DataError
from caffezoo.evaluation.outcomes import Outcome

FORM = 1
"""Version of the directory's form."""

VIEWS_A_SHARD = 128
FEWEST_IMAGES_A_SHARD = 8


def shard_images(views: int) -> int:
    """Return how many images are a shard, by the views of an image: whole batches, and little to do again."""
    return max(FEWEST_IMAGES_A_SHARD, VIEWS_A_SHARD // views // 8 * 8)


class Run:
    """A run under way.

    Attributes
    ----------
    path : Path or None
        None: it is kept in memory.
    identity : dict
        Everything that determines the result.
    images : int
    shard_size : int
        Images in a shard; the last one has what is left.
    seconds : float
        That the shards took.
    damaged : int
        Shards that were there and are done again, because their hash is not that of what they hold.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any], images: int, shard_size: int) -> None:
        self.path = path
        self.identity = dict(identity)
        self.images = images
        self.shard_size = shard_size
        self.seconds = 0.0
        self.damaged = 0
        self._done: set[int] = set()
        self._kept: dict[int, list[Outcome]] = {}
        self._lock: IO[bytes] | None = None

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, Any], images: int, shard_size: int, *, resume: bool = True) -> Run:
        """Begin a run in a directory, or go on with the one that is there.

        Parameters
        ----------
        path : Path
            Created where it does not exist.
        identity : mapping
            JSON values; a run of others is refused.
        images, shard_size : int
        resume : bool
            False begins anew.

        Raises
        ------
        DataError
            The directory cannot be written, holds something else or a run of other inputs, or another process is at it.
        """
        run = cls(path, identity, images, shard_size)
        head = {"form": FORM, "images": images, "shard_size": shard_size, "identity": run.identity}
        where = str(path)
        try:
            if path.is_dir() and not (path / "run.json").exists() and any(e.name != "lock" for e in path.iterdir()):
                raise DataError("the directory holds other files and no run", where=where, hint="name a new one")
            (path / "shards").mkdir(parents=True, exist_ok=True)
            run._lock = _locked(path / "lock", where)
            if (path / "run.json").exists():
                if resume:
                    _check_same(_read_head(path / "run.json"), head, where)
                else:
                    shutil.rmtree(path / "shards")
                    (path / "shards").mkdir()
                    (path / "summary.json").unlink(missing_ok=True)
            if not resume or not (path / "run.json").exists():
                _write(path / "run.json", json.dumps(head, indent=1, sort_keys=True) + "\n")
            for leftover in (path / "shards").glob("*.part"):
                leftover.unlink()
        except OSError as error:
            run.close()
            raise DataError(f"the run cannot be kept: {error.strerror}", where=error.filename or where) from None
        except DataError:
            run.close()
            raise
        for shard in range(run.shards):
            if run._file(shard).exists() and run._read(shard) is None:
                run.damaged += 1
        return run

    @property
    def shards(self) -> int:
        return -(-self.images // self.shard_size)

    @property
    def done_images(self) -> int:
        """Images whose outcome is there."""
        return sum(len(self.indices(shard)) for shard in self._done)

    def indices(self, shard: int) -> range:
        """Return the images of a shard."""
        return range(shard * self.shard_size, min(self.images, (shard + 1) * self.shard_size))

    def pending(self) -> list[int]:
        """Return the shards that are to be done."""
        return [shard for shard in range(self.shards) if shard not in self._done]

    def write(self, shard: int, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Keep the outcomes of a shard; one that is there already stays as it is.

        Raises
        ------
        DataError
            They cannot be written: the disk is full. What is there stays good.
        """
        if shard in self._done:
            return
        if len(outcomes) != len(self.indices(shard)):
            raise ValueError(f"{len(outcomes)} outcomes of the {len(self.indices(shard))} images of shard {shard}")
        if self.path is None:
            self._kept[shard] = list(outcomes)
        else:
            rows = json.dumps([outcome.to_json() for outcome in outcomes], separators=(",", ":"))
            body = {"shard": shard, "seconds": round(seconds, 3), "sha256": _hash(rows)}
            try:
                _write(self._file(shard), json.dumps(body) + "\n" + rows + "\n")
            except OSError as error:
                raise DataError(
                    f"the run cannot be kept: {error.strerror}",
                    where=str(self.path),
                    hint="the same command goes on from here when that is mended",
                ) from None
        self.seconds += seconds
        self._done.add(shard)

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Yield (image, outcome) of all shards that are there, in order, one shard in memory at a time."""
        for shard in sorted(self._done):
            found = self._kept[shard] if self.path is None else self._read(shard)
            if found is None:
                raise DataError("a shard was changed while the run went on", where=str(self._file(shard)))
            yield from zip(self.indices(shard), found, strict=True)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary."""
        if self.path is not None:
            text = json.dumps(summary, indent=1, sort_keys=True) + "\n"
            try:
                _write(self.path / "summary.json", text)
            except OSError as error:
                raise DataError(f"the run cannot be kept: {error.strerror}", where=str(self.path)) from None

    def close(self) -> None:
        """Let other processes at the directory."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def remove(self) -> None:
        """Delete the directory."""
        self.close()
        if self.path is not None:
            shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, shard: int) -> Path:
        assert self.path is not None
        return self.path / "shards" / f"{shard:06}.json"

    def _read(self, shard: int) -> list[Outcome] | None:
        """Read a shard and count it as done; None where its file is not whole."""
        try:
            head, _, rows = self._file(shard).read_text("utf-8").partition("\n")
            body = json.loads(head)
            if body["sha256"] != _hash(rows.rstrip("\n")) or body["shard"] != shard:
                return None
            found = [Outcome.from_json(values) for values in json.loads(rows)]
            seconds = float(body["seconds"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        if len(found) != len(self.indices(shard)):
            return None
        if shard not in self._done:
            self._done.add(shard)
            self.seconds += seconds
        return found


def open_finished(path: Path) -> Run:
    """Open a run to read it, whatever it is of.

    Raises
    ------
    DataError
        No run, one of another version, or one that is not finished.
    """
    head = _read_head(path / "run.json")
    run = Run(path, head["identity"], int(head["images"]), int(head["shard_size"]))
    for shard in range(run.shards):
        run._read(shard)
    missing = run.images - run.done_images
    if missing:
        raise DataError(
            f"{missing} of its {run.images} images are not scored yet",
            where=str(path),
            hint="give its command again with --run, and it goes on",
        )
    return run


def _read_head(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
        form = found["form"]
    except FileNotFoundError:
        raise DataError("no run", where=str(file.parent), hint="`caffezoo evaluate --run DIR` makes one") from None
    except (OSError, ValueError, TypeError, KeyError):
        raise DataError("not a run's head", where=str(file)) from None
    if form != FORM:
        raise DataError(
            f"a run in form {form}, and this version reads form {FORM}", where=str(file), hint="name a new directory"
        )
    if not isinstance(found.get("identity"), dict) or not {"images", "shard_size"} <= found.keys():
        raise DataError("not a run's head", where=str(file))
    return dict(found)


def _check_same(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> None:
    """Refuse a run of other inputs, naming what differs."""
    wanted = json.loads(json.dumps(wanted))
    differences = list(_differences(found, wanted, ""))
    if differences:
        shown = "; ".join(differences[:4]) + (f"; {len(differences) - 4} more" if len(differences) > 4 else "")
        raise DataError(
            f"it is a run of other inputs: {shown}",
            where=where,
            hint="name another directory, or give --no-resume to begin anew",
        )


def _differences(one: Any, other: Any, name: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from _differences(one.get(key), other.get(key), f"{name}.{key}" if name else str(key))
    elif one != other:
        yield f"{name.removeprefix('identity.')} was {_short(one)} and is {_short(other)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(file: Path, text: str) -> None:
    """Replace a file whole; when this returns its bytes are on the disk."""
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as stream:
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    if os.name == "posix":
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _locked(file: Path, where: str) -> IO[bytes]:
    """Take the directory for this process."""
    stream = file.open("ab")
    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        return stream
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise DataError("another process is at this run", where=where, hint="wait for it, or name another") from None
    return stream
