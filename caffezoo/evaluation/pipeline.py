"""Images to scores: decoding and cropping in threads, inference here, batches filled across images.

Memory is bounded by construction: at most as many images are in flight as fill two batches and keep every thread busy,
and views are windows onto the few resized images that they come from until they are copied into the one batch buffer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import EngineError, ImageError, UsageError
from caffezoo.evaluation.crops import View, cut_views
from caffezoo.evaluation.image_objects import ImageLike, as_image, name_of
from caffezoo.evaluation.protocol import Protocol
from caffezoo.opencv import load_cv2

Scores = NDArray[np.float64]
Prepared = list[View] | ImageError


class Runner(Interface):
    """The part of an engine that scoring needs: ``run`` of a batch (n, H, W, C) gives every output (n, ...)."""

    def run(self, batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]: ...


@dataclass(frozen=True, eq=False)
class ImageScores:
    """What became of one image: ``scores`` (classes,), the weighted mean over its views, or the ``error``."""

    path: str
    scores: Scores | None
    error: ImageError | None = None


@dataclass(eq=False)
class _Pending:
    path: str
    views_left: int
    error: ImageError | None = None
    scores: Scores | None = None


@dataclass(eq=False)
class _Batch:
    """The batch under way: its pixels, and for each row whose view it is and what it weighs."""

    pixels: NDArray[Any]
    rgb: bool
    rows: list[tuple[_Pending, float]] = field(default_factory=list)

    def add(self, view: View, owner: _Pending) -> bool:
        """Copy a view in; True when the batch is full."""
        pixels = view.pixels if view.pixels.ndim == 3 else view.pixels[..., np.newaxis]
        self.pixels[len(self.rows)] = pixels[..., ::-1] if self.rgb else pixels
        self.rows.append((owner, view.weight))
        return len(self.rows) == len(self.pixels)


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
    """Score images, in order.

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
    if batch_size < 1 or workers < 1:
        raise UsageError(f"batch size {batch_size} and {workers} decoding threads: both must be at least 1")
    pixels = np.empty((batch_size, *protocol.crop_size, protocol.channels), protocol.input_dtype)
    batch = _Batch(pixels, protocol.channel_order == "RGB")
    pending: deque[_Pending] = deque()
    ahead = workers + -(-2 * batch_size // protocol.crops)
    with one_cv2_thread():
        for path, prepared in prepare_ahead(images, protocol, workers=workers, ahead=ahead):
            if isinstance(prepared, ImageError):
                pending.append(_Pending(path, 0, error=prepared))
            else:
                owner = _Pending(path, len(prepared))
                pending.append(owner)
                for view in prepared:
                    if batch.add(view, owner):
                        _run(engine, batch, output, first_class)
            yield from _finished(pending)
        if batch.rows:
            _run(engine, batch, output, first_class)
        yield from _finished(pending)


def _finished(pending: deque[_Pending]) -> Iterator[ImageScores]:
    while pending and pending[0].views_left == 0:
        image = pending.popleft()
        yield ImageScores(image.path, image.scores, image.error)


def _run(engine: Runner, batch: _Batch, output: str | None, first_class: int) -> None:
    """Run what the batch holds, credit the scores to their images and empty it."""
    count = len(batch.rows)
    try:
        outputs = engine.run(batch.pixels[:count])
    except EngineError as error:
        images = list(dict.fromkeys(image.path for image, _ in batch.rows))
        others = f" and {len(images) - 1} more images of its batch" if len(images) > 1 else ""
        error.where = f"{error.where or 'the engine'}, on {images[0]}{others}"
        raise
    if output is None and len(outputs) == 1:
        (output,) = outputs
    if output is None or output not in outputs:
        raise EngineError(
            f"the engine gave the outputs {sorted(outputs)}; which one holds the scores ({output}) is open"
        )
    scores = outputs[output]
    if scores.ndim < 2 or scores.shape[0] != count or scores.size != count * scores.shape[1]:
        raise UsageError(
            f"output '{output}' of {count} crops is {' x '.join(map(str, scores.shape))}, not one score for each class",
            hint="is the crop size the one that the network is made for?",
        )
    for (image, weight), row in zip(batch.rows, scores.reshape(count, -1), strict=True):
        share = weight * row[first_class:].astype(np.float64)
        image.scores = share if image.scores is None else image.scores + share
        image.views_left -= 1
    batch.rows.clear()


def prepare_ahead(
    images: Iterable[ImageLike], protocol: Protocol, *, workers: int, ahead: int
) -> Iterator[tuple[str, Prepared]]:
    """Yield (path, views or error) in order, with at most ``ahead`` images under way beyond the one yielded."""
    waiting: deque[tuple[str, Future[Prepared]]] = deque()
    todo = ((name_of(image, number), image) for number, image in enumerate(images))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="caffezoo-decode")
    try:
        for path, image in islice(todo, ahead):
            waiting.append((path, pool.submit(_prepare, path, image, protocol)))
        while waiting:
            path, future = waiting.popleft()
            prepared = future.result()
            for following, image in islice(todo, 1):
                waiting.append((following, pool.submit(_prepare, following, image, protocol)))
            yield path, prepared
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(path: str, image: ImageLike, protocol: Protocol) -> Prepared:
    cv2 = load_cv2()
    try:
        return cut_views(as_image(image, where=path, grey=protocol.channels == 1), protocol)
    except ImageError as error:
        return error if error.where else ImageError(error.message, where=path, hint=error.hint)
    except (cv2.error, MemoryError) as error:
        return ImageError(f"cannot be resized: {error}", where=path)


_cv2_lock = threading.Lock()
_cv2_users: list[int] = []  # one entry a scoring under way; the first holds the number of threads to go back to


@contextmanager
def one_cv2_thread() -> Iterator[None]:
    """Let each of our threads resize on its own; cv2's thread pool would fight the engine's for the cores.

    The number is the process's: the first of several scorings at a time sets it, the last one restores it.
    """
    cv2 = load_cv2()
    with _cv2_lock:
        _cv2_users.append(_cv2_users[0] if _cv2_users else cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _cv2_lock:
            before = _cv2_users.pop()
            if not _cv2_users:
                cv2.setNumThreads(before)
