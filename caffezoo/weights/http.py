"""HTTP for the sources: one session with the user's certificate and proxy, errors in one line each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from caffezoo.errors import SourceError
from caffezoo.weights.pip_settings import PipSettings

if TYPE_CHECKING:
    import requests

CHUNK_BYTES = 1 << 18


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


def stream_url(session: requests.Session, url: str, *, timeout_s: float) -> tuple[Iterator[bytes], int | None]:
    """Start to GET a URL.

    Parameters
    ----------
    session : requests.Session
    url : str
    timeout_s : float
        To connect, and between two reads.

    Returns
    -------
    chunks : iterator of bytes
        Closes the connection when it ends.
    total_bytes : int or None
        What the server says that it will send.

    Raises
    ------
    SourceError
        No connection, a status other than 200, or (while reading) a body that breaks off.
    """
    with http_errors(url):
        # A weights file has no use for Content-Encoding, and its length could not be checked.
        answer = session.get(url, stream=True, timeout=timeout_s, headers={"Accept-Encoding": "identity"})
        if answer.status_code != 200:
            answer.close()
            raise SourceError(f"the server answers {answer.status_code} {answer.reason}", where=without_secrets(url))
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() and "Content-Encoding" not in answer.headers else None
    return _body(answer, url, total), total


def _body(answer: requests.Response, url: str, total_bytes: int | None) -> Iterator[bytes]:
    done = 0
    with answer, http_errors(url):
        for chunk in answer.iter_content(CHUNK_BYTES):
            done += len(chunk)
            yield chunk
    if total_bytes is not None and done != total_bytes:
        raise SourceError(f"the body ends after {done} of {total_bytes} bytes", where=without_secrets(url))


@contextmanager
def http_errors(url: str) -> Iterator[None]:
    """Turn whatever requests raises into a :class:`SourceError` that names the URL."""
    import requests

    try:
        yield
    except requests.exceptions.SSLError as error:
        hint = "set pip's `cert` or REQUESTS_CA_BUNDLE to your certificate authority"
        raise SourceError(f"TLS failed: {_cause(error)}", where=without_secrets(url), hint=hint) from error
    except requests.exceptions.ProxyError as error:
        raise SourceError(f"the proxy failed: {_cause(error)}", where=without_secrets(url)) from error
    except requests.exceptions.Timeout as error:
        raise SourceError("no answer in time", where=without_secrets(url)) from error
    except (requests.exceptions.RequestException, OSError) as error:
        raise SourceError(f"no connection: {_cause(error)}", where=without_secrets(url)) from error


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
