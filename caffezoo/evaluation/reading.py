"""Images read, decoded and cut a little ahead of the networks, in threads.

Threads are handed a few images at a time: waking a thread for each one costs as much as a tenth of decoding it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from caffezoo.errors import ImageError
from caffezoo.evaluation.crops import View, cut_views
from caffezoo.evaluation.image_objects import ImageLike, as_image, name_of
from caffezoo.evaluation.images import load_cv2
from caffezoo.evaluation.protocol import Protocol

Key = TypeVar("Key")
Prepared = dict[Any, list[View] | ImageError]
"""Views, or why there are none, by :attr:`Protocol.geometry`."""

MOST_TOGETHER = 4
"""Images that a thread takes at a time."""


def prepare_ahead(
    jobs: Iterable[tuple[Key, ImageLike, Sequence[Protocol]]], *, workers: int, ahead: int
) -> Generator[tuple[Key, str, Prepared], None, None]:
    """Yield (key, path, views) in order, with at most ``ahead`` images under way beyond the one yielded.

    Parameters
    ----------
    jobs : iterable of (key, image, protocols)
        One protocol for each geometry that is wanted. Taken as needed; may be endless.
    workers : int
        Threads.
    ahead : int
    """
    size = max(1, min(MOST_TOGETHER, ahead // (2 * workers)))
    waiting: deque[tuple[list[tuple[Key, str]], Future[list[Prepared]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="caffezoo-decode")
    todo = enumerate(jobs)

    def submit() -> None:
        taken = [(key, name_of(item, n), item, protocols) for n, (key, item, protocols) in islice(todo, size)]
        if taken:
            named = [(key, path) for key, path, _, _ in taken]
            waiting.append((named, pool.submit(_prepare_all, [one[1:] for one in taken])))

    try:
        for _ in range(ahead // size):
            submit()
        while waiting:
            named, future = waiting.popleft()
            found = future.result()
            submit()
            for (key, path), prepared in zip(named, found, strict=True):
                yield key, path, prepared
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_all(images: Sequence[tuple[str, ImageLike, Sequence[Protocol]]]) -> list[Prepared]:
    return [_prepare(path, item, protocols) for path, item, protocols in images]


def _prepare(path: str, item: ImageLike, protocols: Sequence[Protocol]) -> Prepared:
    """Decode an image once for each decoder and cut its views once for each geometry."""
    cv2 = load_cv2()
    found: Prepared = {}
    images: dict[Any, Any] = {}
    for protocol in protocols:
        grey = protocol.channels == 1
        try:
            if (protocol.decoder, grey) not in images:
                images[protocol.decoder, grey] = as_image(item, where=path, grey=grey, decoder=protocol.decoder)
            found[protocol.geometry] = _compact(cut_views(images[protocol.decoder, grey], protocol))
        except ImageError as error:
            found[protocol.geometry] = error if error.where else ImageError(error.message, where=path, hint=error.hint)
        except (cv2.error, MemoryError) as error:
            found[protocol.geometry] = ImageError(f"cannot be resized: {error}", where=path)
    return found


def _compact(views: list[View]) -> list[View]:
    """Let go of the image around a single view, so that the thread's next image takes its memory while that is warm."""
    if len(views) > 1:
        return views
    return [View(view.pixels.copy(), view.weight) for view in views]


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
