"""One file from one source, against a server that does everything wrong: resumed, checked, tried again."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace

import pytest

from caffezoo.errors import SourceError, VerificationError
from caffezoo.weights import transfer as transfer_module
from caffezoo.weights.cache import Cache
from caffezoo.weights.events import AttemptFailed, SourceOpened
from caffezoo.weights.failures import BusyError, CacheError, GoneError
from caffezoo.weights.options import FetchOptions
from caffezoo.weights.parts import Part
from caffezoo.weights.sources import stream_of_url
from caffezoo.weights.transfer import Published, Received, Transfer

DATA = os.urandom(1_500_000)
OTHER = os.urandom(1_500_000)
ONCE = FetchOptions(attempts=1, timeout_s=5)


def _published(data: bytes) -> Published:
    return Published(len(data), ("sha256", hashlib.sha256(data).hexdigest()))


KNOWN = _published(DATA)


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


@pytest.fixture
def fetcher(cache, site) -> Fetcher:
    return Fetcher(cache, site.put("/f", DATA))


@pytest.fixture
def quick(monkeypatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(transfer_module.random, "uniform", lambda a, b: 0.0)


def test_the_whole_file(fetcher, site):
    received = fetcher.run()
    assert (received.bytes, received.sha256, received.published) == (len(DATA), KNOWN.checksum[1], True)
    assert (received.attempts, received.resumed_bytes) == (1, 0)
    assert fetcher.content == DATA
    assert site.sent_bytes == len(DATA)


def test_a_cut_body_goes_on_in_the_next_attempt(fetcher, site, quick):
    site.shelves["/f"].cut_at = [400_000, 300_000]
    received = fetcher.run(options=replace(ONCE, attempts=3))
    assert fetcher.content == DATA
    assert received.attempts == 3
    assert site.sent_bytes == len(DATA)
    assert site.ranges_asked() == [None, "bytes=400000-", "bytes=700000-"]
    assert [headers.get("If-Range") for _, headers in site.requests] == [None, '"v1"', '"v1"']
    failed = [e for e in fetcher.events if isinstance(e, AttemptFailed)]
    assert [e.attempt for e in failed] == [1, 2]


def test_another_process_goes_on(fetcher, cache, site):
    site.shelves["/f"].cut_at = [1_000_000]
    with pytest.raises(BusyError, match=r"127\.0\.0\.1"):
        fetcher.run()
    later = Fetcher(Cache(cache.root), fetcher.url)
    received = later.run()
    assert (later.content, received.resumed_bytes, site.sent_bytes) == (DATA, 1_000_000, len(DATA))
    assert [e.offset_bytes for e in later.events if isinstance(e, SourceOpened)] == [1_000_000]


def test_a_part_that_is_whole_is_not_asked_for_again(fetcher, site, monkeypatch):
    monkeypatch.setattr(Transfer, "_verified", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fetcher.run()
    monkeypatch.undo()
    assert fetcher.run().resumed_bytes == len(DATA)
    assert len(site.requests) == 1


def _interrupted(fetcher: Fetcher, site, at: int = 600_000) -> None:
    site.shelves["/f"].cut_at = [at]
    with pytest.raises(BusyError):
        fetcher.run()


def test_a_server_without_ranges_begins_again(fetcher, site):
    _interrupted(fetcher, site)
    site.shelves["/f"].ranges = False
    fetcher.run()
    assert fetcher.content == DATA
    assert site.sent_bytes == len(DATA) + 600_000


def test_a_changed_file_begins_again(fetcher, site):
    _interrupted(fetcher, site)
    site.put("/f", OTHER, etag='"v2"')
    fetcher.run(_published(OTHER))
    assert fetcher.content == OTHER


def test_a_changed_file_whose_server_does_not_care_for_if_range(fetcher, site):
    _interrupted(fetcher, site)
    site.put("/f", OTHER, etag='"v2"', ignore_if_range=True)
    fetcher.run(_published(OTHER))
    assert fetcher.content == OTHER


def test_without_a_validator_the_hash_decides(fetcher, site):
    site.put("/f", DATA, etag=None)
    _interrupted(fetcher, site)
    received = fetcher.run()
    assert (fetcher.content, received.resumed_bytes) == (DATA, 600_000)
    fetcher.part.discard()
    _interrupted(fetcher, site)
    site.put("/f", OTHER, etag=None)
    received = fetcher.run(_published(OTHER))
    assert (fetcher.content, received.resumed_bytes) == (OTHER, 0)


def test_without_a_validator_and_a_hash_nothing_is_resumed(fetcher, site):
    site.put("/f", DATA, etag=None)
    _interrupted(fetcher, site)
    fetcher.run(Published())
    assert site.ranges_asked() == [None, None]
    assert fetcher.content == DATA


def test_a_weak_etag_does_not_stand_in_if_range(fetcher, site):
    site.put("/f", DATA, etag='W/"v1"', last_modified="Wed, 21 Oct 2015 07:28:00 GMT")
    _interrupted(fetcher, site)
    fetcher.run()
    assert site.requests[-1][1]["If-Range"] == "Wed, 21 Oct 2015 07:28:00 GMT"
    assert fetcher.content == DATA


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-1499999/1500000", "bytes 600000-1499998/1500000", "bytes 600000-1499999/1500001", "nonsense", ""],
)
def test_a_wrong_content_range_begins_again(fetcher, site, content_range):
    _interrupted(fetcher, site)
    site.shelves["/f"].content_range = content_range or "bytes"
    fetcher.run()
    assert fetcher.content == DATA
    assert site.ranges_asked() == [None, "bytes=600000-", None]


def test_a_part_longer_than_the_file_begins_again(fetcher, site):
    _interrupted(fetcher, site)
    with fetcher.part.path.open("ab") as part:
        part.write(OTHER)
    fetcher.run()
    assert fetcher.content == DATA


def test_wrong_lengths(fetcher, site):
    site.shelves["/f"].claimed_bytes = len(DATA) + 10
    with pytest.raises(BusyError, match=r"ends after 1500000 of 1500010|IncompleteRead|broken"):
        fetcher.run(Published())
    fetcher.part.discard()
    with pytest.raises(VerificationError, match="it has 1500010 bytes instead of 1500000"):
        fetcher.run()
    site.shelves["/f"].claimed_bytes = None
    with pytest.raises(VerificationError, match="it has 1500000 bytes instead of 1499999"):
        fetcher.run(Published(len(DATA) - 1))


def test_stops_at_the_first_byte_too_many(fetcher, site):
    site.put("/f", DATA * 20, chunked=True)
    with pytest.raises(VerificationError, match="more than the 1500000 bytes"):
        fetcher.run()
    assert site.sent_bytes < 20 * len(DATA)
    assert not fetcher.part.path.exists()


def test_other_bytes_are_removed(fetcher, site):
    site.put("/f", OTHER)
    with pytest.raises(VerificationError, match=hashlib.sha256(OTHER).hexdigest()):
        fetcher.run()
    assert not fetcher.part.path.exists()
    assert fetcher.part.state() == (0, None)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_encoding_that_was_not_asked_for_is_undone(fetcher, site, chunked):
    site.put("/f", DATA, gzip=True, chunked=chunked)
    fetcher.run()
    assert fetcher.content == DATA
    assert site.requests[0][1]["Accept-Encoding"] == "identity"


def test_an_encoded_body_is_not_resumed(fetcher, site, quick):
    site.put("/f", b"A" * 5_000_000 + DATA, gzip=True, cut_at=[700_000])
    with pytest.raises(BusyError):
        fetcher.run(Published())
    assert fetcher.part.state()[0] > 0
    fetcher.run(_published(site.shelves["/f"].data))
    assert fetcher.content == site.shelves["/f"].data


def test_a_compressed_bomb_stops_at_the_limit(fetcher, site):
    site.put("/f", bytes(300_000_000), gzip=True)
    with pytest.raises(VerificationError, match="more than the 1500000 bytes"):
        fetcher.run()


def test_an_encoding_that_is_not_known(fetcher, site):
    site.put("/f", DATA, headers={"Content-Encoding": "br"})
    with pytest.raises(SourceError, match="Content-Encoding br"):
        fetcher.run()


def test_chunked_bodies_and_their_end(fetcher, site, quick):
    site.put("/f", DATA, chunked=True, cut_at=[500_000])
    with pytest.raises(BusyError):
        fetcher.run()
    fetcher.run()
    assert fetcher.content == DATA


@pytest.mark.parametrize(
    ("status", "kind"), [(403, SourceError), (404, GoneError), (410, GoneError), (451, SourceError)]
)
def test_refusals_are_not_tried_again(fetcher, site, status, kind):
    site.shelves["/f"].statuses = [(status, {})]
    with pytest.raises(kind, match=f"/f: the server answers {status}"):
        fetcher.run(options=replace(ONCE, attempts=3))
    assert len(site.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_servers_are_tried_again(fetcher, site, status, quick):
    site.shelves["/f"].statuses = [(status, {}), (status, {})]
    assert fetcher.run(options=replace(ONCE, attempts=3)).attempts == 3
    site.shelves["/f"].statuses = [(status, {})] * 3
    fetcher.part.discard()
    with pytest.raises(BusyError, match=str(status)):
        fetcher.run(options=replace(ONCE, attempts=3))


def test_retry_after_is_waited_for(fetcher, site):
    site.shelves["/f"].statuses = [(429, {"Retry-After": "1"})]
    begun = time.monotonic()
    fetcher.run(options=replace(ONCE, attempts=2))
    assert time.monotonic() - begun >= 1
    site.shelves["/f"].statuses = [(503, {"Retry-After": "Wed, 21 Oct 2115 07:28:00 GMT"})]
    fetcher.part.discard()
    with pytest.raises(BusyError, match=r"503 .*it asks to be left alone for \d+ s"):
        fetcher.run(options=replace(ONCE, attempts=2))


def test_redirects(fetcher, site):
    for i in range(10):
        site.redirects[f"/r{i}"] = f"/r{i + 1}"
    site.shelves["/r10"] = site.shelves["/f"]
    fetcher.url = site.url("/r0")
    fetcher.run()
    assert fetcher.content == DATA
    site.redirects["/r10"] = "/r11"
    site.shelves["/r11"] = site.shelves["/f"]
    fetcher.part.discard()
    with pytest.raises(SourceError, match="/r0: more than 10 redirects"):
        fetcher.run()


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/f", "javascript:alert(1)"])
def test_redirects_that_leave_http(fetcher, site, target):
    site.redirects["/f"] = target
    with pytest.raises(SourceError, match="it leads from http to"):
        fetcher.run()


def test_a_redirect_is_resumed(fetcher, site):
    site.redirects["/r"] = "/f"
    fetcher.url = site.url("/r")
    _interrupted(fetcher, site)
    fetcher.run()
    assert fetcher.content == DATA
    assert site.sent_bytes == len(DATA)


def test_a_server_that_falls_silent(fetcher, site):
    site.shelves["/f"].stall_after = 300_000
    begun = time.monotonic()
    with pytest.raises(BusyError, match="no answer in time"):
        fetcher.run(options=replace(ONCE, timeout_s=0.5))
    assert time.monotonic() - begun < 5
    assert fetcher.part.state()[0] >= 300_000


def test_a_name_server_that_falls_silent(cache, monkeypatch):
    import socket

    from caffezoo.weights import http

    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(20))
    monkeypatch.setattr(http, "MAX_CONNECT_S", 0.2)
    begun = time.monotonic()
    with pytest.raises(BusyError, match=r"no name server answers for nowhere\.example in 0.2 s"):
        Fetcher(cache, "https://nowhere.example/f").run()
    assert time.monotonic() - begun < 5


def test_a_slow_body_comes_in_small_chunks(fetcher, site):
    site.put("/f", DATA[:400_000], piece_pause_s=0.02)
    fetcher.run(_published(DATA[:400_000]))
    assert len([e for e in fetcher.events if hasattr(e, "done_bytes")]) >= 4


@pytest.mark.parametrize(
    ("head", "shown"),
    [(b"<!DOCTYPE html><html>", "an HTML page"), (b"version https://git-lfs.github.com/spec/v1\n", "git LFS")],
)
def test_pages_and_pointers_are_named_at_once(fetcher, site, head, shown):
    site.put("/f", head + bytes(30_000_000))
    with pytest.raises(VerificationError, match=shown):
        fetcher.run(Published())
    assert site.sent_bytes < 30_000_000


def test_a_disk_without_room_is_noticed_before(fetcher, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(CacheError, match="1500000 more bytes are needed, 1000 are free"):
        fetcher.run()


def test_two_hashes_in_one_reading(fetcher):
    wanted = Published(None, ("md5", hashlib.md5(DATA).hexdigest()), hashlib.sha256(DATA).hexdigest()[:8])
    assert fetcher.run(wanted).published
    fetcher.part.discard()
    with pytest.raises(VerificationError, match="does not begin with 00000000"):
        fetcher.run(Published(None, None, "00000000"))
