"""Hash a stream beside reading it: hashlib works without the interpreter's lock, so a second core can do it."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterable
from types import TracebackType


class StreamHasher:
    """Several hashes of one stream, computed in a thread.

    At most sixteen chunks wait; then :meth:`update` does.

    Parameters
    ----------
    algorithms : iterable of str
        Names that hashlib knows.
    """

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name) for name in algorithms}
        self._waiting: queue.Queue[bytes | None] = queue.Queue(maxsize=16)
        self._thread = threading.Thread(target=self._work, daemon=True, name="hash")

    def __enter__(self) -> StreamHasher:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def update(self, chunk: bytes) -> None:
        """Add a chunk, which must not be changed afterwards."""
        self._waiting.put(chunk)

    def hexdigests(self) -> dict[str, str]:
        """Return every hash of all that was added; nothing can be added afterwards."""
        self._end()
        return {name: digest.hexdigest() for name, digest in self._hashes.items()}

    def _end(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (chunk := self._waiting.get()) is not None:
            for digest in self._hashes.values():
                digest.update(chunk)
