"""What servers answer in place of the file: encodings, statuses, redirects, silence."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from caffezoo.errors import SourceError, VerificationError
from caffezoo.weights.failures import BusyError, GoneError
from caffezoo.weights.transfer import Published

from .fetcher import DATA, ONCE, Fetcher, interrupt, published


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
    fetcher.run(published(site.shelves["/f"].data))
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
    interrupt(fetcher, site)
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
    fetcher.run(published(DATA[:400_000]))
    assert len([e for e in fetcher.events if hasattr(e, "done_bytes")]) >= 4
