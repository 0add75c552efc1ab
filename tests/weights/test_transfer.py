"""One file from one source: what breaks off goes on, what has changed begins again, what is wrong is removed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from caffezoo.errors import VerificationError
from caffezoo.weights.cache import Cache
from caffezoo.weights.events import AttemptFailed, SourceOpened
from caffezoo.weights.failures import BusyError, CacheError
from caffezoo.weights.http_range import answered_range
from caffezoo.weights.transfer import Published, Transfer

from .fetcher import DATA, KNOWN, ONCE, OTHER, Fetcher, interrupt, published


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


def test_a_server_without_ranges_begins_again(fetcher, site):
    interrupt(fetcher, site)
    site.shelves["/f"].ranges = False
    fetcher.run()
    assert fetcher.content == DATA
    assert site.sent_bytes == len(DATA) + 600_000


def test_a_changed_file_begins_again(fetcher, site):
    interrupt(fetcher, site)
    site.put("/f", OTHER, etag='"v2"')
    fetcher.run(published(OTHER))
    assert fetcher.content == OTHER


def test_a_changed_file_whose_server_does_not_care_for_if_range(fetcher, site):
    interrupt(fetcher, site)
    site.put("/f", OTHER, etag='"v2"', ignore_if_range=True)
    fetcher.run(published(OTHER))
    assert fetcher.content == OTHER


def test_without_a_validator_the_hash_decides(fetcher, site):
    site.put("/f", DATA, etag=None)
    interrupt(fetcher, site)
    received = fetcher.run()
    assert (fetcher.content, received.resumed_bytes) == (DATA, 600_000)
    fetcher.part.discard()
    interrupt(fetcher, site)
    site.put("/f", OTHER, etag=None)
    received = fetcher.run(published(OTHER))
    assert (fetcher.content, received.resumed_bytes) == (OTHER, 0)


def test_without_a_validator_and_a_hash_nothing_is_resumed(fetcher, site):
    site.put("/f", DATA, etag=None)
    interrupt(fetcher, site)
    fetcher.run(Published())
    assert site.ranges_asked() == [None, None]
    assert fetcher.content == DATA


def test_a_weak_etag_does_not_stand_in_if_range(fetcher, site):
    site.put("/f", DATA, etag='W/"v1"', last_modified="Wed, 21 Oct 2015 07:28:00 GMT")
    interrupt(fetcher, site)
    fetcher.run()
    assert site.requests[-1][1]["If-Range"] == "Wed, 21 Oct 2015 07:28:00 GMT"
    assert fetcher.content == DATA


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-1499999/1500000", "bytes 600000-1499998/1500000", "bytes 600000-1499999/1500001", "nonsense", ""],
)
def test_a_wrong_content_range_begins_again(fetcher, site, content_range):
    interrupt(fetcher, site)
    site.shelves["/f"].content_range = content_range or "bytes"
    fetcher.run()
    assert fetcher.content == DATA
    assert site.ranges_asked() == [None, "bytes=600000-", None]


def test_a_part_longer_than_the_file_begins_again(fetcher, site):
    interrupt(fetcher, site)
    with fetcher.part.path.open("ab") as part:
        part.write(OTHER)
    fetcher.run()
    assert fetcher.content == DATA


def test_wrong_lengths(fetcher, site):
    site.shelves["/f"].claimed_bytes = len(DATA) + 10
    with pytest.raises(BusyError):
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


def test_a_changed_file_is_never_mixed_without_a_hash_either(fetcher, site):
    interrupt(fetcher, site)
    site.put("/f", OTHER, etag='"v2"', ignore_if_range=True)
    fetcher.run(Published())
    assert fetcher.content == OTHER


@pytest.mark.parametrize(
    ("text", "length", "found"),
    [
        ("bytes 5-9/10", "5", (5, 10)),
        ("bytes 5-9/*", "", (5, None)),
        ("bytes 5-8/10", "4", None),
        ("bytes 5-9/10", "6", None),
        ("bytes 9-5/10", "", None),
        ("bytes */10", "", None),
        ("items 5-9/10", "", None),
        (f"bytes {'9' * 30}-{'9' * 30}/*", "", None),
    ],
)
def test_ranges_that_are_the_whole_rest(text, length, found):
    assert answered_range({"Content-Range": text, "Content-Length": length}) == found
