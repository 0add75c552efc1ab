"""Transfers of one file from the unruly server, without the rest of the fetch."""

from __future__ import annotations

import hashlib
import os

import pytest

from caffezoo.weights.cache import Cache
from caffezoo.weights.failures import BusyError
from caffezoo.weights.options import FetchOptions
from caffezoo.weights.parts import Part
from caffezoo.weights.sources import stream_of_url
from caffezoo.weights.transfer import Published, Received, Transfer

DATA = os.urandom(1_500_000)
OTHER = os.urandom(1_500_000)
ONCE = FetchOptions(attempts=1, timeout_s=5)


def published(data: bytes) -> Published:
    return Published(len(data), ("sha256", hashlib.sha256(data).hexdigest()))


KNOWN = published(DATA)


class Fetcher:
    def __init__(self, cache: Cache, url: str) -> None:
        self.part, self.url, self.events = Part(cache, "net", url), url, []

    def run(self, wanted: Published = KNOWN, options: FetchOptions = ONCE) -> Received:
        return Transfer(
            "net",
            self.url,
            "file",
            lambda r: stream_of_url(self.url, r),
            self.part,
            wanted,
            options,
            self.events.append,
        ).run()

    @property
    def content(self) -> bytes:
        return self.part.path.read_bytes()


def interrupt(fetcher: Fetcher, site, at: int = 600_000) -> None:
    """Let a first run end after so many bytes."""
    site.shelves["/f"].cut_at = [at]
    with pytest.raises(BusyError):
        fetcher.run()
