"""The ``gdrive:`` source: from a Google Drive id to the file.

A large file is answered with a page that warns that it was not scanned for viruses. Where such a page leads is gdown's
to know: its maintainers follow what Google changes. Three more pages come in place of a file: the quota page, the
sign-in page, and the one for files that are gone; those are told apart here, by the texts that gdown 6.5.1 and the
pages' own class names show. The bytes then come as from any other server, so that what breaks off goes on with
``If-Range``, which gdown's own transfer does not ask for.
"""

from __future__ import annotations

import re
from http.cookiejar import CookieJar, LoadError, MozillaCookieJar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from caffezoo.errors import SourceError, UsageError
from caffezoo.weights.failures import GoneError, OfflineError, QuotaError, SignInError
from caffezoo.weights.http import body_of, get, http_errors, open_session, open_url, status_error
from caffezoo.weights.sources import Request, SourceStream

if TYPE_CHECKING:
    import requests

DRIVE_URL = "https://drive.google.com"
MAX_PAGE_BYTES = 1 << 20
_GOOGLE = re.compile(r"(?:.+\.)?(?:google|googleusercontent)\.com")
_SIGNS: tuple[tuple[re.Pattern[str], type[SourceError], str, str], ...] = (
    (
        re.compile(r"quota exceeded|too many users have viewed or downloaded", re.IGNORECASE),
        QuotaError,
        "Google Drive's quota for this file is used up",
        "try again in a day, or give --cookies FILE of a browser that is signed in, or download it there: --from-file",
    ),
    (
        re.compile(
            r"servicelogin|accounts\.google\.com/(?:v\d/)?signin|you need access|<title>[^<]*sign.in", re.IGNORECASE
        ),
        SignInError,
        "Google Drive asks to sign in: the file is not public",
        "ask its owner, or, where your account may see it, give --cookies FILE of a browser that is signed in to it",
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


def read_cookies(path: Path) -> CookieJar:
    """Read Google's cookies from a browser's ``cookies.txt`` (Netscape's format); the file stays as it is.

    Raises
    ------
    UsageError
        It cannot be read, is something else, or has none of Google's.
    """
    jar, kept = MozillaCookieJar(), CookieJar()
    hint = "export cookies.txt from a browser that is signed in to Google, or let `gdown --cookies-from-browser` do it"
    try:
        # A session's cookies have no date, and some browsers write it as 0.
        jar.load(str(path.expanduser()), ignore_discard=True, ignore_expires=True)
    except LoadError:
        raise UsageError("not a cookies.txt", where=str(path), hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=str(path)) from None
    for cookie in jar:
        if _GOOGLE.fullmatch(cookie.domain.lstrip(".")):
            cookie.expires = cookie.expires or None
            kept.set_cookie(cookie)
    kept.clear_expired_cookies()
    if not len(kept):
        raise UsageError("it has no cookie of google.com that still holds", where=str(path), hint=hint)
    return kept


def open_drive_file(file_id: str, request: Request) -> SourceStream:
    """Open a file of Google Drive by its id.

    Proxies and certificates are those of the environment (``HTTPS_PROXY``, ``REQUESTS_CA_BUNDLE``).

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
    url = f"{DRIVE_URL}/uc?export=download&id={quote(file_id, safe='')}"
    with open_session() as session:
        for cookie in read_cookies(request.cookies) if request.cookies is not None else ():
            session.cookies.set_cookie(cookie)
        answer = get(session, url, timeout_s=request.timeout_s)
        page = _page(answer, place)
        if page is None:
            if not request.offset_bytes:
                body = body_of(answer, url)
                return SourceStream(body.chunks, body.offset_bytes, body.total_bytes, body.validator, body.close)
            answer.close()
        else:
            url = confirmed_url(page, answer.url, place)
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
    """Return where the confirm page leads, as gdown reads it.

    Raises
    ------
    SourceError
        It is another page: the error says which; or it leads away from Google, or from https to another scheme.
    """
    from gdown.download import get_url_from_gdrive_confirmation
    from gdown.exceptions import FileURLRetrievalError

    try:
        url = urljoin(page_url, get_url_from_gdrive_confirmation(page))
        there = urlsplit(url)
    except FileURLRetrievalError as error:
        raise _page_error(page, page_url, place, str(error)) from None
    except (KeyError, AssertionError, ValueError):
        raise _page_error(page, page_url, place, "a form of a strange shape") from None
    if not _GOOGLE.fullmatch(there.hostname or ""):
        raise SourceError(f"Google Drive's page leads to {there.hostname}", where=place)
    if there.scheme != "https":
        raise SourceError("Google Drive's page leads from https to another scheme", where=place)
    return url


def _page_error(page: str, page_url: str, place: str, told: str) -> SourceError:
    for sign, kind, message, hint in _SIGNS:
        if sign.search(page) or sign.search(page_url):
            return kind(message, where=place, hint=hint or None)
    said = " ".join(told.split())[:200]
    return SourceError(
        f"Google Drive answers with a page that is not known: {said}" if said else "Google Drive answers with a page",
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
        error = _page_error(page, answer.url, place, "")
        raise error if type(error) is not SourceError else status_error(answer, answer.url)
    return str(page)


def _refuse_page(answer: requests.Response, place: str) -> None:
    page = _page(answer, place)
    if page is not None:
        raise _page_error(page, answer.url, place, "after its confirm form")
