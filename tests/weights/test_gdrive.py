"""The pages of Google Drive, from Google's hosts on this machine: each is told apart, the confirm form followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from caffezoo.errors import SourceError, UsageError
from caffezoo.weights.failures import GoneError, OfflineError, QuotaError, SignInError, UnsuitableError
from caffezoo.weights.gdrive import confirmed_url, open_drive_file, read_cookies
from caffezoo.weights.sources import Request, open_source
from caffezoo.zoo.schema import Weights

from .drive_proxy import AUTHORITY, drive_proxy
from .unruly_server import Site

DATA = os.urandom(500_000)
FIRST = "/uc?export=download&id=abc"
# Google sends it in one line, and gdown reads it so.
CONFIRM = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="abc"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="a&amp;b"></form></body></html>"""
CONFIRM = CONFIRM.replace("\n", "")
QUOTA = """<html><head><title>Google Drive - Quota exceeded</title></head><body><p class="uc-error-caption">Sorry, you
can't view or download this file at this time.</p><p class="uc-error-subcaption">Too many users have viewed or
downloaded this file recently.</p></body></html>"""
SIGN_IN = "<html><head><title>Sign in - Google Accounts</title></head><body></body></html>"
GONE = "<html><head><title>Error</title></head><p>Sorry, the file you have requested does not exist.</p></html>"
HTML = "text/html; charset=utf-8"


DOWNLOAD = "https://drive.usercontent.google.com/download"
COOKIES = """# Netscape HTTP Cookie File
.google.com\tTRUE\t/\tTRUE\t0\tSID\tsecret
.example.com\tTRUE\t/\tTRUE\t0\tother\tof-another-site
.google.com\tTRUE\t/\tTRUE\t1000000000\told\tgone
"""


@pytest.fixture
def drive(monkeypatch) -> Iterator[Site]:
    for name in ("https_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    site = Site()
    with drive_proxy(site) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(AUTHORITY))
        yield site


def _take(offset: int = 0, validator: str | None = None, cookies: Path | None = None) -> bytes:
    with open_drive_file("abc", Request(offset, validator, 5, cookies=cookies)) as stream:
        return DATA[: stream.offset_bytes] + b"".join(stream.chunks)


def test_a_small_file_comes_at_once(drive):
    drive.put("/uc", DATA, headers={"Content-Disposition": 'attachment; filename="a"'})
    assert _take() == DATA
    assert [path for path, _ in drive.requests] == [FIRST]
    assert _take(1000, '"v1"') == DATA
    assert drive.ranges_asked()[-1] == "bytes=1000-"


@pytest.mark.parametrize("action", ["/download", f"{DOWNLOAD}?at=1"])
def test_the_confirm_form_is_followed_and_resumed(drive, action):
    drive.put("/uc", CONFIRM.format(action=action).encode(), content_type=HTML)
    drive.put("/download", DATA)
    assert _take() == DATA
    asked, headers = drive.requests[1]
    assert asked.endswith("id=abc&export=download&confirm=t&uuid=a%26b")
    assert headers["Host"] == ("drive.google.com" if action == "/download" else "drive.usercontent.google.com")
    assert _take(200_000, '"v1"') == DATA
    assert drive.ranges_asked()[-1] == "bytes=200000-"


def test_the_older_confirm_link(drive):
    page = '<html><a id="uc-download-link" href="/uc?export=download&amp;confirm=Xy1&amp;id=abc">Go on</a></html>'
    drive.put(FIRST, page.encode(), content_type=HTML)
    drive.put("/uc?export=download&confirm=Xy1&id=abc", DATA)
    assert _take() == DATA
    assert drive.requests[1][1]["Host"] == "docs.google.com"


@pytest.mark.parametrize("status", [200, 403])
def test_the_quota_page(drive, status):
    drive.put("/uc", QUOTA.encode(), content_type=HTML)
    if status != 200:
        drive.shelves["/uc"].statuses, drive.shelves["/uc"].error_body = [(status, {})], QUOTA.encode()
    with pytest.raises(QuotaError, match=r"gdrive abc: .*quota.*try again in a day"):
        _take()


def test_the_quota_page_behind_the_confirm_form(drive):
    drive.put("/uc", CONFIRM.format(action="/download").encode(), content_type=HTML)
    drive.put("/download", QUOTA.encode(), content_type=HTML)
    with pytest.raises(QuotaError):
        _take()


def test_the_sign_in_page(drive):
    drive.redirects["/uc"] = "/ServiceLogin?continue=x"
    drive.put("/ServiceLogin", b"<html><title>Google</title></html>", content_type=HTML)
    with pytest.raises(SignInError, match="not public"):
        _take()
    drive.put("/ServiceLogin", SIGN_IN.encode(), content_type=HTML)
    with pytest.raises(SignInError):
        _take()


@pytest.mark.parametrize("status", [200, 404])
def test_the_page_of_a_file_that_is_gone(drive, status):
    drive.put("/uc", GONE.encode(), content_type=HTML)
    if status != 200:
        drive.shelves["/uc"].statuses, drive.shelves["/uc"].error_body = [(status, {})], GONE.encode()
    with pytest.raises(GoneError, match="gdrive abc: "):
        _take()


def test_a_404_without_a_page(drive):
    with pytest.raises(GoneError, match="404"):
        _take()


def test_a_folder_and_an_unknown_page(drive):
    drive.redirects["/uc"] = "/drive/folders/abc"
    drive.put("/drive/folders/abc", b"<html><title>a folder</title></html>", content_type=HTML)
    with pytest.raises(SourceError, match="it is a folder"):
        _take()
    drive.redirects.clear()
    drive.put("/uc", b"<html><title>news</title></html>", content_type=HTML)
    with pytest.raises(SourceError, match="a page that is not known"):
        _take()


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("https://evil.example/download", r"leads to evil\.example"),
        ("https://evilgoogle.com/download", "leads to"),
        ("http://drive.usercontent.google.com/download", "another scheme"),
    ],
)
def test_a_form_that_leads_away_from_google(drive, action, reason):
    drive.put("/uc", CONFIRM.format(action=action).encode(), content_type=HTML)
    with pytest.raises(SourceError, match=reason):
        _take()
    assert len(drive.requests) == 1


@pytest.mark.parametrize(
    "page",
    [
        '<form id="download-form"></form>',
        '<form id="download-form" action="/d"><input type="hidden"></form>',
        '<form id="download-form" action="https://[::1/d"></form>',
        '<p class="uc-error-subcaption">Something new</p>',
        "",
    ],
)
def test_pages_that_nobody_knows(page):
    with pytest.raises(SourceError, match="gdrive abc: Google Drive answers with a page"):
        confirmed_url(page, "https://drive.google.com/uc?id=abc", "gdrive abc")


def test_a_certificate_that_nobody_vouches_for(drive, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    drive.put("/uc", DATA)
    with pytest.raises(SourceError, match="TLS"):
        _take()
    assert drive.requests == []


def test_a_proxy_that_is_not_there(drive, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match="the proxy failed"):
        _take()


def test_cookies_of_a_signed_in_browser(drive, tmp_path):
    """Google's go to Google's hosts, on every step; others and old ones go nowhere; the file is not written."""
    file = tmp_path / "cookies.txt"
    file.write_text(COOKIES)
    drive.put("/uc", CONFIRM.format(action=DOWNLOAD).encode(), content_type=HTML)
    drive.put("/download", DATA)
    assert _take(cookies=file) == DATA
    assert [headers["Cookie"] for _, headers in drive.requests] == ["SID=secret"] * 2
    assert file.read_text() == COOKIES
    assert _take() == DATA
    assert "Cookie" not in drive.requests[-1][1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"SID=secret",
        b'[{"name": "SID"}]',
        COOKIES.replace("google.com", "evilgoogle.com").encode(),
        COOKIES.replace("\t0\t", "\t1000000000\t").encode(),
    ],
)
def test_what_is_no_cookies_txt(tmp_path, content):
    file = tmp_path / "c.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"c\.txt") as caught:
        read_cookies(file)
    assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read"):
        read_cookies(tmp_path / "nothing")


def test_offline():
    with pytest.raises(OfflineError):
        open_drive_file("abc", Request(offline=True))


def test_a_share_link_given_as_an_url(drive):
    """Drive's page is no file: the id in it is asked for; a folder is refused before anybody is asked."""
    drive.put("/uc", DATA)
    weights = {"scheme": "https", "format": "caffemodel", "state": "available", "source": "me"}
    facts = Weights(url="https://drive.google.com/file/d/abc/view?usp=sharing", **weights)
    with open_source(facts, Request(timeout_s=5)) as stream:
        assert b"".join(stream.chunks) == DATA
    assert drive.requests[0][0] == FIRST
    with pytest.raises(UnsuitableError, match=r"drive\.google\.com/drive/folders/abc: .*a folder"):
        open_source(Weights(url="https://drive.google.com/drive/folders/abc", **weights), Request())
    assert len(drive.requests) == 1
