"""Images read, decoded and cut a little ahead of the networks, in threads."""

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
    waiting: deque[tuple[Key, str, Future[Prepared]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="caffezoo-decode")
    todo = enumerate(jobs)

    def submit(number: int, job: tuple[Key, ImageLike, Sequence[Protocol]]) -> None:
        key, item, protocols = job
        path = name_of(item, number)
        waiting.append((key, path, pool.submit(_prepare, path, item, protocols)))

    try:
        for number, job in islice(todo, ahead):
            submit(number, job)
        while waiting:
            key, path, future = waiting.popleft()
            prepared = future.result()
            for number, job in islice(todo, 1):
                submit(number, job)
            yield key, path, prepared
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
            found[protocol.geometry] = cut_views(images[protocol.decoder, grey], protocol)
        except ImageError as error:
            found[protocol.geometry] = error if error.where else ImageError(error.message, where=path, hint=error.hint)
        except (cv2.error, MemoryError) as error:
            found[protocol.geometry] = ImageError(f"cannot be resized: {error}", where=path)
    return found


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
