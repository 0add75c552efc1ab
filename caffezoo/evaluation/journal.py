"""The journal of an evaluation: what became of every image, so that an interrupted run goes on where it stopped.

A file of JSON lines. The first says what the evaluation depends on; every other holds one image, in order: the rank of
its true class and the class that it was taken for, or why it could not be read, and the seconds since the start. A run
that is killed loses at most the line that was being written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Outcome:
    """What became of an image: rank of its true class and class that it was taken for, or why it is unreadable."""

    rank: int = 0
    guess: int = 0
    reason: str | None = None


class Journal:
    """An open journal; see :meth:`open`.

    Attributes
    ----------
    path : Path
    outcomes : list of Outcome
        Of the first images, in order.
    seconds : float
        That these took.
    """

    def __init__(self, path: Path, stream: IO[bytes], outcomes: list[Outcome], seconds: float) -> None:
        self.path = path
        self.outcomes = outcomes
        self.seconds = seconds
        self._stream: IO[bytes] | None = stream

    @classmethod
    def open(cls, folder: Path, identity: Mapping[str, Any], *, resume: bool = True) -> Journal | None:
        """Open the journal of an evaluation, or begin it.

        Parameters
        ----------
        folder : Path
            Created where it does not exist.
        identity : mapping
            Everything that the outcomes depend on; another identity is another journal. ``network``, ``images`` and
            ``classes`` must be in it.
        resume : bool
            False begins anew.

        Returns
        -------
        Journal or None
            None where no journal can be kept: the folder cannot be written, or another process runs the same
            evaluation.
        """
        head = json.dumps(identity, sort_keys=True).encode() + b"\n"
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in str(identity["network"]))[:60]
        path = folder / f"{name}-{hashlib.sha256(head).hexdigest()[:16]}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stream = path.open("a+b")
        except OSError:
            return None
        try:
            if not _locked(stream):
                stream.close()
                return None
            stream.seek(0)
            content = stream.read() if resume else b""
            outcomes, seconds, good = _outcomes(content, head, int(identity["images"]), int(identity["classes"]))
            stream.truncate(good)
            if not good:
                stream.write(head)
                stream.flush()
        except OSError:
            stream.close()
            return None
        return cls(path, stream, outcomes, seconds)

    def add(self, outcome: Outcome, seconds: float) -> None:
        """Write what became of the next image; a full disk ends the journal, not the evaluation."""
        if self._stream is None:
            return
        values = [outcome.rank, outcome.guess] if outcome.reason is None else [outcome.reason]
        try:
            self._stream.write(json.dumps([*values, round(seconds, 3)]).encode() + b"\n")
            self._stream.flush()
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file, and leave it to the next run."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()

    def remove(self) -> None:
        """Delete the file: the evaluation is complete."""
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def _outcomes(content: bytes, head: bytes, images: int, classes: int) -> tuple[list[Outcome], float, int]:
    """The outcomes of the good lines until the first that is none, the last one's seconds, and their length in bytes.

    All is bad where the head is not this evaluation's.
    """
    if not content.startswith(head):
        return [], 0.0, 0
    outcomes: list[Outcome] = []
    seconds, good = 0.0, len(head)
    for line in content[len(head) :].splitlines(keepends=True):
        if not line.endswith(b"\n") or len(outcomes) == images:
            break
        try:
            *values, moment = json.loads(line)
            if len(values) == 1 and isinstance(values[0], str):
                outcome = Outcome(reason=values[0])
            else:
                rank, guess = values
                if {type(rank), type(guess)} != {int} or not 0 <= rank < classes or not 0 <= guess < classes:
                    break
                outcome = Outcome(rank, guess)
            seconds = max(seconds, float(moment))
        except (ValueError, TypeError, RecursionError):
            break
        outcomes.append(outcome)
        good += len(line)
    return outcomes, seconds, good


def _locked(stream: IO[bytes]) -> bool:
    """Take the file for this process, until it is closed; False if another has it. Windows has no such lock."""
    try:
        import fcntl
    except ImportError:
        return os.name == "nt"
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
