"""The ``gdrive:`` source: the steps that a browser takes from a Google Drive id to the file.

A large file is answered with a page that warns that it was not scanned for viruses; its form leads on. Three more
pages come in place of a file: the quota page, the sign-in page, and the one for files that are gone. What they look
like is taken from gdown 6.5.1 (``download.py``) and from the pages' own class names. gdown itself is not used: its
hosts are fixed in its code, so that no test could drive it, and it resumes without ``If-Range``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urljoin, urlsplit, urlunsplit

from caffezoo.errors import SourceError
from caffezoo.weights.failures import GoneError, OfflineError, QuotaError, SignInError
from caffezoo.weights.http import body_of, get, http_errors, open_session, open_url, status_error
from caffezoo.weights.sources import Request, SourceStream

if TYPE_CHECKING:
    import requests

DRIVE_URL = "https://drive.google.com"
DRIVE_URL_VARIABLE = "CAFFEZOO_GDRIVE_URL"
MAX_PAGE_BYTES = 1 << 20
_GOOGLE = re.compile(r"(?:.+\.)?(?:google|googleusercontent)\.com")
_OLD_LINK = re.compile(r'href="(/uc\?export=download[^"]*confirm=[^"]+)"')
_SIGNS: tuple[tuple[re.Pattern[str], type[SourceError], str, str], ...] = (
    (
        re.compile(r"quota exceeded|too many users have viewed or downloaded", re.IGNORECASE),
        QuotaError,
        "Google Drive's quota for this file is used up",
        "try again in a day, or download it in a browser that is signed in and use --from-file",
    ),
    (
        re.compile(
            r"servicelogin|accounts\.google\.com/(?:v\d/)?signin|you need access|<title>[^<]*sign.in", re.IGNORECASE
        ),
        SignInError,
        "Google Drive asks to sign in: the file is not public",
        "ask its owner, or download it in a browser that is signed in and use --from-file",
    ),
    (
        re.compile(r"file you have requested does not exist|file not found|error 404", re.IGNORECASE),
        GoneError,
        "Google Drive says that the file does not exist",
        "",
    ),
    (
        re.compile(r"drive/folders/|folder-view|embeddedfolderview", re.IGNORECASE),
        SourceError,
        "it is a folder of Google Drive, not a file",
        "open it in a browser, download the file and use --from-file",
    ),
)


class _ConfirmForm(HTMLParser):
    """Finds the form ``download-form``: where it leads, and its hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = values.get("id") == "download-form"
            if self._inside:
                self.action = values.get("action", "")
        elif tag == "input" and self._inside and values.get("type") == "hidden" and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def open_drive_file(file_id: str, request: Request) -> SourceStream:
    """Open a file of Google Drive by its id.

    ``CAFFEZOO_GDRIVE_URL`` names another host that answers like ``https://drive.google.com``.

    Raises
    ------
    QuotaError, SignInError, GoneError
        The page that came instead.
    SourceError
        Another page, or no answer.
    """
    place = f"gdrive {file_id}"
    if request.offline:
        raise OfflineError("not asked, --offline", where=place)
    base = (os.environ.get(DRIVE_URL_VARIABLE) or DRIVE_URL).rstrip("/")
    url = f"{base}/uc?export=download&id={quote(file_id, safe='')}"
    with open_session() as session:
        answer = get(session, url, timeout_s=request.timeout_s)
        page = _page(answer, place)
        if page is None:
            if not request.offset_bytes:
                body = body_of(answer, url)
                return SourceStream(body.chunks, body.offset_bytes, body.total_bytes, body.validator, body.close)
            answer.close()
        else:
            url = confirmed_url(page, answer.url, place)
            if urlsplit(url).scheme != urlsplit(base).scheme:
                raise SourceError("Google Drive's page leads from https to another scheme", where=place)
        body = open_url(
            session,
            url,
            timeout_s=request.timeout_s,
            offset_bytes=request.offset_bytes,
            validator=request.validator,
            refuse=lambda answer: _refuse_page(answer, place),
        )
    return SourceStream(body.chunks, body.offset_bytes, body.total_bytes, body.validator, body.close)


def confirmed_url(page: str, page_url: str, place: str) -> str:
    """Return where the confirm page leads, its form's hidden fields filled in.

    Raises
    ------
    SourceError
        It is another page: the error says which; or it leads away from Google.
    """
    form = _ConfirmForm()
    form.feed(page)
    if form.action is not None:
        target = urlsplit(urljoin(page_url, form.action))
        query = "&".join(part for part in (target.query, urlencode(form.fields)) if part)
        url = urlunsplit(target._replace(query=query))
    elif old := _OLD_LINK.search(page):
        url = urljoin(page_url, old[1].replace("&amp;", "&"))
    else:
        raise _page_error(page, page_url, place)
    here, there = urlsplit(page_url), urlsplit(url)
    if there.netloc != here.netloc and not _GOOGLE.fullmatch(there.hostname or ""):
        raise SourceError(f"Google Drive's page leads to {there.hostname}", where=place)
    return url


def _page_error(page: str, page_url: str, place: str) -> SourceError:
    for sign, kind, message, hint in _SIGNS:
        if sign.search(page) or sign.search(page_url):
            return kind(message, where=place, hint=hint or None)
    return SourceError(
        "Google Drive answers with a page that is not known",
        where=place,
        hint=f"open {DRIVE_URL}/file/d/ID in a browser",
    )


def _page(answer: requests.Response, place: str) -> str | None:
    """Return the page that came in place of the file, or None where the file came.

    Raises
    ------
    SourceError
        A page of an error status.
    """
    is_page = answer.headers.get("Content-Type", "").lower().startswith("text/html")
    if not is_page or "Content-Disposition" in answer.headers:
        return None
    with answer, http_errors(answer.url):
        page = answer.raw.read(MAX_PAGE_BYTES, decode_content=True).decode("utf-8", "replace")
    if answer.status_code >= 400:
        error = _page_error(page, answer.url, place)
        raise error if type(error) is not SourceError else status_error(answer, answer.url)
    return str(page)


def _refuse_page(answer: requests.Response, place: str) -> None:
    page = _page(answer, place)
    if page is not None:
        raise _page_error(page, answer.url, place)
