"""What a fetch tells while it works; ``caffezoo fetch --progress json`` prints these, one a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["archive", "file", "convert"]


@dataclass(frozen=True)
class FetchProgress:
    """How far a fetch is.

    Attributes
    ----------
    name : str
        Network (or data set).
    stage : {'archive', 'file', 'convert'}
        An archive that holds the file comes in; the file comes in, or out of its archive; it is made a caffemodel.
    place : str
        Which source.
    done_bytes : int
    total_bytes : int or None
    """

    name: str
    stage: Stage
    place: str
    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True)
class SourceOpened:
    """A source answered, and its bytes begin to come.

    Attributes
    ----------
    name, place : str
    offset_bytes : int
        What is there already from an earlier run and is not fetched again.
    attempt : int
        From 1.
    """

    name: str
    place: str
    offset_bytes: int
    attempt: int


@dataclass(frozen=True)
class AttemptFailed:
    """An attempt failed, and another will be made after ``wait_s`` seconds."""

    name: str
    place: str
    reason: str
    attempt: int
    wait_s: float


@dataclass(frozen=True)
class SourceFailed:
    """A source is given up, or passed over; fields as in :class:`~caffezoo.weights.failures.SourceFailure`."""

    name: str
    number: int
    place: str
    kind: str
    reason: str
    attempts: int


@dataclass(frozen=True)
class Waiting:
    """Another process fetches the same file; ``owner`` is its id and host."""

    name: str
    owner: str


FetchEvent = FetchProgress | SourceOpened | AttemptFailed | SourceFailed | Waiting
Progress = Callable[[FetchEvent], None]
EVENT_NAMES: dict[type, str] = {
    FetchProgress: "progress",
    SourceOpened: "source-opened",
    AttemptFailed: "attempt-failed",
    SourceFailed: "source-failed",
    Waiting: "waiting",
}
