"""Images to scores: decoding and cropping in threads, inference behind them, batches filled across images.

One pass may feed several networks: an image is decoded once, and views that several of them see are cut once. Memory is
bounded by construction: at most as many images are in flight as fill the batches and keep every thread busy, and views
are windows onto the few resized images that they come from until they are copied into a batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import EngineError, ImageError, UsageError
from caffezoo.evaluation.crops import View
from caffezoo.evaluation.image_objects import ImageLike
from caffezoo.evaluation.images import copy_pixels
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.reading import Prepared, one_cv2_thread, prepare_ahead

Scores = NDArray[np.float64]


class Runner(Interface):
    """The part of an engine that scoring needs: ``run`` of a batch (n, H, W, C) gives every output (n, ...)."""

    def run(self, batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]: ...


@dataclass(frozen=True, eq=False)
class ImageScores:
    """What became of one image: ``scores`` (classes,), the weighted mean over its views, or the ``error``."""

    path: str
    scores: Scores | None
    error: ImageError | None = None


@dataclass(frozen=True, eq=False)
class Lane:
    """A network that takes part in a pass.

    Attributes
    ----------
    engine : Engine
        Takes batches of up to ``batch_size`` crops of ``protocol.input_dtype``, ``streams`` at a time.
    protocol : Protocol
    batch_size : int
    output : str or None
        The output blob that holds the scores; needed only where the engine gives several.
    first_class : int
        The first score that is one of a class; 1 leaves the background out.
    streams : int
    """

    engine: Runner
    protocol: Protocol
    batch_size: int
    output: str | None = None
    first_class: int = 0
    streams: int = 1


@dataclass(frozen=True, eq=False)
class Work:
    """An image to score: for which lanes, by number, and whether batches end behind it."""

    item: ImageLike
    lanes: tuple[int, ...] = (0,)
    ends_batch: bool = False


@dataclass(eq=False)
class _Pending:
    path: str
    views_left: int
    error: ImageError | None = None
    scores: Scores | None = None

    def finished(self) -> ImageScores:
        return ImageScores(self.path, self.scores, self.error)


@dataclass(eq=False)
class _Batch:
    """A batch: its pixels, and for each row whose view it is and what it weighs."""

    pixels: NDArray[Any]
    rows: list[tuple[_Pending, float]] = field(default_factory=list)


class _Feed:
    """A lane under way: the batch that is filled, and those that run, in threads that all lanes share."""

    def __init__(self, lane: Lane, pool: ThreadPoolExecutor) -> None:
        if lane.batch_size < 1:
            raise UsageError(f"batch size {lane.batch_size} is below 1")
        self.lane = lane
        self._free: list[NDArray[Any]] = []
        self._batch = self._new()
        self._running: deque[tuple[_Batch, Future[dict[str, NDArray[np.float32]]]]] = deque()
        self._pool = pool
        self._exchanges = lane.protocol.channel_order == "RGB"

    def add(self, view: View, owner: _Pending) -> None:
        """Copy a view in; a batch that is full runs."""
        batch = self._batch
        copy_pixels(view.pixels, batch.pixels[len(batch.rows)], exchange=self._exchanges)
        batch.rows.append((owner, view.weight))
        if len(batch.rows) == self.lane.batch_size:
            self.start()

    def start(self) -> None:
        """Run what the batch holds, behind; wait where enough is under way."""
        batch = self._batch
        if batch.rows:
            self._running.append((batch, self._pool.submit(self.lane.engine.run, batch.pixels[: len(batch.rows)])))
            self._batch = self._new()
            while len(self._running) > self.lane.streams + 1:
                self._finish_one()

    def collect(self) -> None:
        """Take what has run."""
        while self._running and self._running[0][1].done():
            self._finish_one()

    def wait(self) -> None:
        """Run what is left and wait for all."""
        self.start()
        while self._running:
            self._finish_one()

    def _new(self) -> _Batch:
        if self._free:
            return _Batch(self._free.pop())
        protocol = self.lane.protocol
        shape = (self.lane.batch_size, *protocol.crop_size, protocol.channels)
        return _Batch(np.empty(shape, protocol.input_dtype))

    def _finish_one(self) -> None:
        batch, future = self._running.popleft()
        _credit(self.lane, batch, future)
        self._free.append(batch.pixels)


def score_images(
    engine: Runner,
    images: Iterable[ImageLike],
    protocol: Protocol,
    *,
    batch_size: int = 1,
    output: str | None = None,
    first_class: int = 0,
    workers: int = 2,
) -> Generator[ImageScores, None, None]:
    """Score images by one network, in order.

    Parameters
    ----------
    engine : Engine
        Takes batches of up to ``batch_size`` crops of ``protocol.input_dtype``.
    images : iterable of path-like, bytes, array or PIL.Image.Image
        See :func:`caffezoo.evaluation.image_objects.as_image`. Taken as needed; may be endless.
    protocol : Protocol
    batch_size : int, optional
        Views in a batch. Only the last batch of all is smaller.
    output : str, optional
        The output blob that holds the scores; needed only where the engine gives several.
    first_class : int, optional
        The first score that is one of a class; 1 leaves the background out.
    workers : int, optional
        Threads that decode and crop.

    Yields
    ------
    ImageScores
        One for each image, also for unreadable ones; ``path`` is ``image 3`` where there is no path.

    Raises
    ------
    UsageError
        The output is not one score a class.
    """
    lane = Lane(engine, protocol, batch_size, output, first_class)
    scored = score_together([lane], (Work(image) for image in images), workers=workers)
    try:
        for _, (found,) in scored:
            assert found is not None
            yield found
    finally:
        scored.close()


def score_together(
    lanes: Sequence[Lane], work: Iterable[Work], *, workers: int = 2
) -> Generator[tuple[Work, tuple[ImageScores | None, ...]], None, None]:
    """Score images by several networks in one pass, in order.

    Parameters
    ----------
    lanes : sequence of Lane
    work : iterable of Work
        Taken as needed; may be endless.
    workers : int, optional
        Threads that decode and crop.

    Yields
    ------
    work : Work
    scores : tuple of (ImageScores or None)
        A lane each; None for lanes that the image is not for.

    Raises
    ------
    UsageError
        A lane's output is not one score a class.
    EngineError
        A lane's engine failed.
    """
    if workers < 1:
        raise UsageError(f"{workers} decoding threads: there must be at least 1")
    # Batches of several networks wait for each other instead of driving each other's weights out of the caches.
    pool = ThreadPoolExecutor(max(lane.streams for lane in lanes), thread_name_prefix="caffezoo-run")
    feeds = [_Feed(lane, pool) for lane in lanes]
    pending: deque[tuple[Work, dict[int, _Pending]]] = deque()
    ahead = workers + max(-(-2 * lane.batch_size * lane.streams // lane.protocol.distinct_views) for lane in lanes)
    failure: BaseException | None = None
    try:
        jobs = prepare_ahead(_jobs(lanes, work), workers=workers, ahead=ahead)
        with one_cv2_thread(), closing(jobs):
            for one, path, prepared in jobs:
                owners: dict[int, _Pending] = {}
                pending.append((one, owners))
                try:
                    _feed(feeds, one, path, prepared, owners)
                except (Exception, KeyboardInterrupt) as error:
                    failure = error
                if failure is not None:
                    break
                yield from _finished(pending, len(lanes))
            try:
                for feed in feeds if failure is None else ():
                    feed.wait()
            except (Exception, KeyboardInterrupt) as error:
                failure = error
            if failure is not None:
                while pending and not pending[-1][1]:  # whose views were never handed on
                    pending.pop()
            yield from _finished(pending, len(lanes))  # what was finished before goes first
            if failure is not None:
                raise failure
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _feed(feeds: Sequence[_Feed], one: Work, path: str, prepared: Prepared, owners: dict[int, _Pending]) -> None:
    """Hand the views of an image to the lanes that it is for, and take what has run."""
    found = {number: prepared[feeds[number].lane.protocol.geometry] for number in one.lanes}
    for number, views in found.items():
        if isinstance(views, ImageError):
            owners[number] = _Pending(path, 0, error=views)
        else:
            owners[number] = _Pending(path, len(views))
    for number, views in found.items():
        if not isinstance(views, ImageError):
            for view in views:
                feeds[number].add(view, owners[number])
    for feed in feeds:
        if one.ends_batch:
            feed.start()
        feed.collect()


def _jobs(lanes: Sequence[Lane], work: Iterable[Work]) -> Iterator[tuple[Work, ImageLike, tuple[Protocol, ...]]]:
    """Yield each piece of work with its image and the protocols that it needs, one for each geometry."""
    for one in work:
        needed = {lanes[k].protocol.geometry: lanes[k].protocol for k in one.lanes}
        yield one, one.item, tuple(needed.values())


def _finished(
    pending: deque[tuple[Work, dict[int, _Pending]]], lanes: int
) -> Iterator[tuple[Work, tuple[ImageScores | None, ...]]]:
    while pending and all(owner.views_left == 0 for owner in pending[0][1].values()):
        one, owners = pending.popleft()
        yield one, tuple(owners[k].finished() if k in owners else None for k in range(lanes))


def _credit(lane: Lane, batch: _Batch, future: Future[dict[str, NDArray[np.float32]]]) -> None:
    """Credit the scores of a batch to their images."""
    count = len(batch.rows)
    try:
        outputs = future.result()
    except EngineError as error:
        images = list(dict.fromkeys(image.path for image, _ in batch.rows))
        others = f" and {len(images) - 1} more images of its batch" if len(images) > 1 else ""
        error.where = f"{error.where or 'the engine'}, on {images[0]}{others}"
        raise
    output = lane.output
    if output is None and len(outputs) == 1:
        (output,) = outputs
    if output is None or output not in outputs:
        raise EngineError(
            f"the engine gave the outputs {sorted(outputs)}; which one holds the scores ({output}) is open"
        )
    scores = outputs[output]
    if lane.protocol.fully_convolutional and scores.ndim == 4:
        scores = scores.mean(axis=(2, 3), dtype=np.float64)
    if scores.ndim < 2 or scores.shape[0] != count or scores.size != count * scores.shape[1]:
        raise UsageError(
            f"output '{output}' of {count} crops is {' x '.join(map(str, scores.shape))}, not one score for each class",
            hint="is the crop size the one that the network is made for? --fully-convolutional averages over positions",
        )
    for (image, weight), row in zip(batch.rows, scores.reshape(count, -1), strict=True):
        share = weight * row[lane.first_class :].astype(np.float64)
        image.scores = share if image.scores is None else image.scores + share
        image.views_left -= 1
    batch.rows.clear()
