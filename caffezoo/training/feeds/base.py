"""What every data layer is to a training: a function from the number of a batch to the batch's arrays.

A batch depends on the layer, the seed and its number alone, never on what was read before or on how many threads read:
so a training that goes on from iteration n sees what an unbroken one would have seen.
"""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

import numpy as np

from caffezoo.errors import DataError, TrainingError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Shape

Batch = list[np.ndarray]
"""A float32 array a top."""

PREFETCH = 3
"""Batches that are read ahead."""


@dataclass
class FeedOptions:
    """What a data layer's prototxt does not say.

    Attributes
    ----------
    seed : int
    strict : bool
        An image that cannot be read stops the training, as in Caffe, instead of being left out and counted.
    threads : int
        That decode images.
    augment : callable or None
        Called with an image (height, width, 3), BGR uint8, and a Generator, in phase TRAIN, before the transform.
    """

    seed: int = 0
    strict: bool = False
    threads: int = 2
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    skipped: list[str] = field(default_factory=list)
    """Images that were left out, with the reason; filled while reading."""


class Feed(ABC):
    """A data layer's source.

    Parameters
    ----------
    proto : LayerParameter
    phase : int
    where : str
        ``file:line: layer 'name' (Type)``, for messages.
    options : FeedOptions

    Attributes
    ----------
    shapes : tuple of shape
        Of the tops.
    """

    shapes: tuple[Shape, ...]
    reads_ahead = True

    def __init__(self, proto: pb.LayerParameter, phase: int, where: str, options: FeedOptions) -> None:
        self.proto, self.phase, self.where, self.options = proto, phase, where, options
        self.key = zlib.crc32(proto.name.encode())

    @abstractmethod
    def read(self, number: int) -> Batch:
        """Return batch ``number``, from 0."""

    def rng(self, *place: int) -> np.random.Generator:
        """Return the random numbers of one place in the data: of a pass, of an image."""
        return np.random.default_rng([self.options.seed, self.key, *place])

    def fail(self, message: str, hint: str | None = None) -> DataError:
        """Return the error to raise."""
        return DataError(message, where=self.where, hint=hint)

    def close(self) -> None:  # noqa: B027 (most sources hold nothing open)
        """Let go of files."""


class Prefetcher:
    """Reads a feed's batches in order, some ahead, in a thread."""

    def __init__(self, feed: Feed, start: int = 0) -> None:
        self.feed = feed
        self._next = start
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feed") if feed.reads_ahead else None
        self._ahead: list[Future[Batch]] = []

    def next(self) -> Batch:
        """Return the next batch."""
        if self._pool is None:
            self._next += 1
            return self.feed.read(self._next - 1)
        while len(self._ahead) < PREFETCH:
            self._ahead.append(self._pool.submit(self.feed.read, self._next + len(self._ahead)))
        batch = self._ahead.pop(0).result()
        self._next += 1
        return batch

    @property
    def position(self) -> int:
        """Number of the batch that comes next."""
        return self._next

    def seek(self, number: int) -> None:
        """Go on with another batch."""
        for future in self._ahead:
            future.cancel()
        self._ahead.clear()
        self._next = number

    def close(self) -> None:
        """Stop reading."""
        self.seek(self._next)
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self.feed.close()


_FEEDS: dict[str, type[Feed]] = {}
_F = TypeVar("_F", bound=type[Feed])


def feeds(kind: str) -> Callable[[_F], _F]:
    """Register the source of a data layer's type."""

    def decorate(cls: _F) -> _F:
        if kind in _FEEDS:
            raise ValueError(f"{kind} is fed twice")
        _FEEDS[kind] = cls
        return cls

    return decorate


@cache
def _all_feeds() -> dict[str, type[Feed]]:
    import caffezoo.training.feeds as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _FEEDS


def make_feed(proto: pb.LayerParameter, phase: int, where: str, options: FeedOptions) -> Feed:
    """Return the source of a data layer.

    Raises
    ------
    TrainingError
        Nothing here feeds its type.
    DataError
        Its source is missing, or holds something else.
    """
    try:
        cls = _all_feeds()[proto.type]
    except KeyError:
        known = ", ".join(sorted(_all_feeds()))
        raise TrainingError(f"nothing feeds a {proto.type} layer", where=where, hint=f"one of {known}") from None
    return cls(proto, phase, where, options)
