"""The pages of Google Drive, from a server of our own: each is told apart, and the confirm form is followed."""

from __future__ import annotations

import os

import pytest

from caffezoo.errors import SourceError
from caffezoo.weights.failures import GoneError, OfflineError, QuotaError, SignInError
from caffezoo.weights.gdrive import confirmed_url, open_drive_file
from caffezoo.weights.sources import Request

DATA = os.urandom(500_000)
FIRST = "/uc?export=download&id=abc"
CONFIRM = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="abc"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="a&amp;b"></form></body></html>"""
QUOTA = """<html><head><title>Google Drive - Quota exceeded</title></head><body><p class="uc-error-caption">Sorry, you
can't view or download this file at this time.</p><p class="uc-error-subcaption">Too many users have viewed or
downloaded this file recently.</p></body></html>"""
SIGN_IN = "<html><head><title>Sign in - Google Accounts</title></head><body></body></html>"
GONE = "<html><head><title>Error</title></head><p>Sorry, the file you have requested does not exist.</p></html>"
HTML = "text/html; charset=utf-8"


@pytest.fixture
def drive(site, monkeypatch):
    monkeypatch.setenv("CAFFEZOO_GDRIVE_URL", site.url(""))
    return site


def _take(offset: int = 0, validator: str | None = None) -> bytes:
    with open_drive_file("abc", Request(offset, validator, 5)) as stream:
        return DATA[: stream.offset_bytes] + b"".join(stream.chunks)


def test_a_small_file_comes_at_once(drive):
    drive.put("/uc", DATA, headers={"Content-Disposition": 'attachment; filename="a"'})
    assert _take() == DATA
    assert [path for path, _ in drive.requests] == [FIRST]
    assert _take(1000, '"v1"') == DATA
    assert drive.ranges_asked()[-1] == "bytes=1000-"


@pytest.mark.parametrize("action", ["/download", "{base}/download?at=1"])
def test_the_confirm_form_is_followed_and_resumed(drive, action):
    page = CONFIRM.format(action=action.format(base=drive.url("")))
    drive.put("/uc", page.encode(), content_type=HTML)
    drive.put("/download", DATA)
    assert _take() == DATA
    asked = drive.requests[1][0]
    assert asked.endswith("id=abc&export=download&confirm=t&uuid=a%26b")
    assert _take(200_000, '"v1"') == DATA
    assert drive.ranges_asked()[-1] == "bytes=200000-"


def test_the_older_confirm_link(drive):
    page = '<html><a id="uc-download-link" href="/uc?export=download&amp;confirm=Xy1&amp;id=abc">Go on</a></html>'
    drive.put(FIRST, page.encode(), content_type=HTML)
    drive.put("/uc?export=download&confirm=Xy1&id=abc", DATA)
    assert _take() == DATA


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


def test_a_form_that_leads_away_from_google():
    page = CONFIRM.format(action="https://evil.example/download")
    with pytest.raises(SourceError, match=r"leads to evil\.example"):
        confirmed_url(page, "https://drive.google.com/uc?id=abc", "gdrive abc")
    page = CONFIRM.format(action="https://evilgoogle.com/download")
    with pytest.raises(SourceError, match="leads to"):
        confirmed_url(page, "https://drive.google.com/uc?id=abc", "gdrive abc")
    page = CONFIRM.format(action="https://drive.usercontent.google.com/download")
    url = confirmed_url(page, "https://drive.google.com/uc?id=abc", "gdrive abc")
    assert url.startswith("https://drive.usercontent.google.com/download?id=abc&")


def test_offline():
    with pytest.raises(OfflineError):
        open_drive_file("abc", Request(offline=True))
