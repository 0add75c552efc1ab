"""A name server that does not answer must not hold a fetch up: the system's own patience is 10 to 40 s a name."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from caffezoo.weights.failures import BusyError


def check_name(url: str, timeout_s: float) -> None:
    """Look a URL's host up, and wait for the answer no longer than ``timeout_s`` seconds.

    An answer, also a bad one, is left to whoever connects; the lookup that hangs ends in a thread of its own.

    Raises
    ------
    BusyError
        There is no answer in time.
    """
    host = urlsplit(url).hostname
    if not host:
        return
    answered = threading.Event()

    def look_up() -> None:
        with suppress(OSError, UnicodeError):  # whoever connects gets the same answer, and tells it
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        answered.set()

    threading.Thread(target=look_up, daemon=True, name=f"look up {host}").start()
    if not answered.wait(timeout_s):
        raise BusyError(
            f"no name server answers for {host} in {timeout_s:g} s", where=f"{urlsplit(url).scheme}://{host}"
        )
