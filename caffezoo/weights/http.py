"""HTTP for the sources: one session, redirects that cannot surprise, ranges that are checked, errors in one line."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from caffezoo.errors import SourceError
from caffezoo.weights.failures import BusyError, GoneError
from caffezoo.weights.http_range import RANGE_REFUSED, answered_range, range_headers, validator_of
from caffezoo.weights.name_lookup import check_name
from caffezoo.weights.pip_settings import PipSettings

if TYPE_CHECKING:
    import requests

CHUNK_BYTES = 1 << 18
MAX_REDIRECTS = 10
MAX_CONNECT_S = 3.0
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class HttpBody:
    """A body that is on its way.

    Attributes
    ----------
    chunks : iterator of bytes
        Closes the connection when it ends; may raise :class:`BusyError`.
    offset_bytes : int
        Where it begins in the whole file.
    total_bytes : int or None
        Size of the whole file, where the server says it.
    validator : str or None
        What stands for this version of the file, for ``If-Range``.
    close : callable
        Ends the connection, also where ``chunks`` was never begun.
    """

    chunks: Iterator[bytes]
    offset_bytes: int
    total_bytes: int | None
    validator: str | None
    close: Callable[[], None]


def open_session(settings: PipSettings | None = None) -> requests.Session:
    """Make a session; with ``settings``, pip's certificate, proxy and trusted hosts hold in it.

    Environment variables (``HTTPS_PROXY``, ``REQUESTS_CA_BUNDLE``, netrc) are used as requests uses them.
    """
    import requests

    class Session(requests.Session):
        """REQUESTS_CA_BUNDLE would win over ``session.verify``; pip's own setting is the nearer one."""

        def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
            if settings is not None and kwargs.get("verify") is None:
                parts = urlsplit(url if isinstance(url, str) else url.decode())
                if {parts.hostname, parts.netloc.rpartition("@")[2]} & set(settings.trusted_hosts):
                    kwargs["verify"] = False
                elif settings.cert:
                    kwargs["verify"] = settings.cert
            return super().request(method, url, *args, **kwargs)

    session = Session()
    session.headers["User-Agent"] = "caffezoo"
    if settings is not None:
        session.cert = settings.client_cert
        if settings.proxy:
            session.proxies = {"http": settings.proxy, "https": settings.proxy}
    return session


def open_url(
    session: requests.Session,
    url: str,
    *,
    timeout_s: float,
    offset_bytes: int = 0,
    validator: str | None = None,
    refuse: Callable[[requests.Response], None] = lambda answer: None,
) -> HttpBody:
    """Start to GET a file.

    Parameters
    ----------
    session : requests.Session
    url : str
    timeout_s : float
        Between two reads, seconds; connecting has at most :data:`MAX_CONNECT_S` of it.
    offset_bytes : int
        Where to begin; the answer says whether the server did.
    validator : str, optional
        ETag or date of the version that the bytes before ``offset_bytes`` are from.
    refuse : callable
        Looks at the answer, and raises a :class:`SourceError` where it is not the file.

    Raises
    ------
    SourceError
        No connection, a status other than 200 and 206, too many or unsafe redirects.
    """
    answer = get(session, url, timeout_s=timeout_s, headers=range_headers(offset_bytes, validator))
    if offset_bytes and (answer.status_code == RANGE_REFUSED or not _range_is_usable(answer, offset_bytes, validator)):
        answer.close()
        answer = get(session, url, timeout_s=timeout_s)
    refuse(answer)
    return body_of(answer, url)


def get(
    session: requests.Session, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None
) -> requests.Response:
    """GET a URL and follow its redirects by hand: at most ten, never from https to http.

    Returns
    -------
    requests.Response
        Of any status that is no redirect, its body unread.

    Raises
    ------
    SourceError
    """
    # A weights file has no use for Content-Encoding, and its length could not be checked.
    asked = {"Accept-Encoding": "identity", **(headers or {})}
    here = url
    for _ in range(MAX_REDIRECTS + 1):
        with http_errors(here):
            if not session.merge_environment_settings(here, {}, None, None, None).get("proxies"):
                check_name(here, MAX_CONNECT_S)
            timeouts = (min(timeout_s, MAX_CONNECT_S), timeout_s)
            answer = session.get(here, stream=True, timeout=timeouts, headers=asked, allow_redirects=False)
            if answer.status_code not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            target = urljoin(here, answer.headers["Location"])
            answer.close()
        schemes = urlsplit(here).scheme, urlsplit(target).scheme
        if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
            raise SourceError(f"it leads from {schemes[0]} to {without_secrets(target)}", where=without_secrets(url))
        here = target
    raise SourceError(f"more than {MAX_REDIRECTS} redirects", where=without_secrets(url))


def body_of(answer: requests.Response, url: str) -> HttpBody:
    """Turn an answer into a body.

    Raises
    ------
    SourceError
        The status is neither 200 nor a whole 206.
    """
    if answer.status_code not in (200, 206):
        answer.close()
        raise status_error(answer, url)
    offset, total = 0, None
    if answer.status_code == 206:
        found = answered_range(answer.headers)
        if found is None:
            answer.close()
            raise SourceError("the server answers 206 without a whole Content-Range", where=without_secrets(url))
        offset, total = found
    length = answer.headers.get("Content-Length", "")
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    plain = encoding in ("", "identity")
    # With chunks, Content-Length says nothing (RFC 9112, 6.3).
    counted = length.isdecimal() and "Transfer-Encoding" not in answer.headers
    body_bytes = int(length) if counted else None
    if plain and total is None and body_bytes is not None:
        total = offset + body_bytes
    chunks = _raw_chunks(answer, url, body_bytes)
    # Ranges of an encoded body count encoded bytes: such a body cannot be resumed.
    content = chunks if plain else _decoded(chunks, encoding, url)
    return HttpBody(content, offset, total, validator_of(answer.headers, plain), answer.close)


def status_error(answer: requests.Response, url: str) -> SourceError:
    """Return the error that a status stands for."""
    text, where = f"the server answers {answer.status_code} {answer.reason}".strip(), without_secrets(url)
    if answer.status_code in _BUSY:
        return BusyError(text, where=where, retry_after_s=_retry_after_s(answer.headers.get("Retry-After", "")))
    if answer.status_code in (404, 410):
        return GoneError(text, where=where)
    return SourceError(text, where=where)


def _range_is_usable(answer: requests.Response, offset_bytes: int, validator: str | None) -> bool:
    """Whether an answer may follow the bytes that are there; an answer of 200 is a new beginning and good too."""
    if answer.status_code != 206:
        return True
    found = answered_range(answer.headers)
    same = validator is None or validator in (
        answer.headers.get("ETag", validator),
        answer.headers.get("Last-Modified"),
    )
    return found is not None and found[0] == offset_bytes and same and "Content-Encoding" not in answer.headers


def _retry_after_s(text: str) -> float | None:
    """Parse Retry-After: seconds, or a date."""
    if text.strip().isdecimal():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max(0.0, (then - datetime.now(UTC if then.tzinfo else None)).total_seconds())


def _raw_chunks(answer: requests.Response, url: str, body_bytes: int | None) -> Iterator[bytes]:
    done = 0
    with answer, http_errors(url):
        # read1 gives what has arrived: a slow line makes small chunks, and a kill loses little.
        while chunk := answer.raw.read1(CHUNK_BYTES, decode_content=False):
            done += len(chunk)
            yield chunk
    if body_bytes is not None and done != body_bytes:
        raise BusyError(f"the body ends after {done} of {body_bytes} bytes", where=without_secrets(url))


def _decoded(chunks: Iterator[bytes], encoding: str, url: str) -> Iterator[bytes]:
    """Undo a Content-Encoding that was not asked for, a bounded piece at a time."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise SourceError(f"the server sends Content-Encoding {encoding}", where=without_secrets(url))
    plain = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        for chunk in chunks:
            while piece := plain.decompress(chunk, CHUNK_BYTES):
                yield piece
                chunk = plain.unconsumed_tail
    except zlib.error as error:
        raise SourceError(f"the body is not {encoding}: {error}", where=without_secrets(url)) from error
    if not plain.eof:
        raise BusyError("the compressed body breaks off", where=without_secrets(url))


@contextmanager
def http_errors(url: str) -> Iterator[None]:
    """Turn whatever requests raises into a :class:`SourceError` that names the URL."""
    import requests
    import urllib3

    where = without_secrets(url)
    try:
        yield
    except requests.exceptions.SSLError as error:
        hint = "set pip's `cert` or REQUESTS_CA_BUNDLE to your certificate authority"
        raise SourceError(f"TLS failed: {_cause(error)}", where=where, hint=hint) from error
    except requests.exceptions.ProxyError as error:
        raise BusyError(f"the proxy failed: {_cause(error)}", where=where) from error
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise BusyError("no answer in time", where=where) from error
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError) as error:
        raise SourceError(f"not a usable URL: {_cause(error)}", where=where) from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise BusyError(f"no connection: {_cause(error)}", where=where) from error


def without_secrets(url: str) -> str:
    """Return the URL without user, password, query and fragment, for messages and metadata."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an unreadable URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _cause(error: BaseException) -> str:
    """Return the innermost reason: urllib3 wraps it several times."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        reason = getattr(error, "reason", None)
        inner = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
        if inner is None:
            first = next((a for a in error.args if isinstance(a, BaseException)), None)
            if first is None:
                break
            inner = first
        error = inner
    return " ".join(str(error).split())[:200] or type(error).__name__
