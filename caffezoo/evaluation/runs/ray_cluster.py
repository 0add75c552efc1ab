"""The cluster that a run is spread over: joined or started, watched, and left.

Ray's own library ends the process a minute after it lost the head. So the head is watched here, and a lost one is an
error like others, before that.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from caffezoo.errors import EngineError, EngineUnavailableError

LOCAL = "local"
"""The address that stands for a cluster on this machine, for as long as the run lasts."""

KNOCK_EVERY_S = 2.0
KNOCKS = 4
"""Knocks that nobody hears before a head is given up."""


@contextmanager
def joined(address: str) -> Iterator[str]:
    """Join the cluster at an address, or start one for as long as this lasts; yield where its head listens.

    Raises
    ------
    EngineUnavailableError
        There is none.
    """
    import ray

    own = not ray.is_initialized()
    if own:
        _start(ray, address)
    try:
        yield (
            address.removeprefix("ray://")
            if address.startswith("ray://")
            else str(ray.get_runtime_context().gcs_address)
        )
    finally:
        if own and ray.is_initialized():
            # Without its head Ray's shutdown would wait for it.
            leaving = threading.Thread(target=ray.shutdown, daemon=True)
            leaving.start()
            leaving.join(30)


class _WithoutRay:
    """Standard output without what Ray's listening thread prints there, in the midst of a command's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def rows_while_it_lives(rows: Iterable[Any], head: str, address: str) -> Generator[Any, None, None]:
    """Yield rows that Ray gives, as long as somebody listens at the head.

    Raises
    ------
    EngineError
        The head is gone.
    """
    found: queue.Queue[tuple[str, Any]] = queue.Queue()
    stopped = threading.Event()

    def take() -> None:
        try:
            for row in rows:
                if stopped.is_set():
                    return
                found.put(("row", row))
            found.put(("end", None))
        except BaseException as error:
            found.put(("error", error))

    threading.Thread(target=take, name="caffezoo-ray", daemon=True).start()
    unheard, last = 0, time.monotonic()
    try:
        while True:
            try:
                kind, value = found.get(timeout=0.2)
            except queue.Empty:
                kind, value = "nothing", None
            if kind == "row":
                yield value
            elif kind == "end":
                return
            elif kind == "error":
                raise value
            if time.monotonic() - last > KNOCK_EVERY_S:
                unheard, last = (0 if _hears(head) else unheard + 1), time.monotonic()
            if unheard >= KNOCKS and found.empty():
                raise EngineError(
                    "the Ray cluster failed: its head is gone",
                    where=f"--ray {address}",
                    hint="the same command goes on from here when it is there again, or without --ray",
                )
    finally:
        stopped.set()


def _start(ray: Any, address: str) -> None:
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    if address == LOCAL:
        settings["address"] = LOCAL
        settings["num_cpus"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    else:
        settings = {"log_to_driver": False, "logging_level": "ERROR", "address": address}
        _knock(address)
    try:
        ray.init(**settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EngineUnavailableError(
            f"no Ray cluster: {first_line(error)}", where=f"--ray {address}", hint="`ray start --head` makes one"
        ) from None


def _knock(address: str) -> None:
    """Refuse an address at which nobody listens; Ray itself would try for minutes."""
    place = _place(address.removeprefix("ray://"))
    if place is None:
        return
    try:
        socket.create_connection(place, timeout=5).close()
    except OSError as error:
        raise EngineUnavailableError(
            f"no Ray cluster: {error.strerror or error}", where=f"--ray {address}", hint="`ray start --head` makes one"
        ) from None


def _hears(head: str) -> bool:
    place = _place(head)
    if place is None:
        return True
    try:
        socket.create_connection(place, timeout=2).close()
    except OSError:
        return False
    return True


def _place(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


def first_line(error: BaseException) -> str:
    """Return the first line that an error says anything in."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
