"""Take named members out of a wheel (.zip) or a tar ball (.tar.gz, .tar) that nobody has to trust.

Only regular files that were asked for by name are read; links, encrypted and sparse members, names that
leave the archive and members larger than wanted are refused. Nothing is ever written under a name that the archive
chose.
"""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from caffezoo.errors import SourceError

CHUNK_BYTES = 1 << 18
MAX_UNPACKED_BYTES = 4 << 30  # of a whole tar, headers and unwanted members too
MAX_MEMBERS = 100_000
MAX_HEADER_BYTES = 8 << 20  # a zip's directory (about 80,000 members), a tar's extended header

# What zipfile, tarfile and zlib are known to raise on files that are not well formed.
MALFORMED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    RecursionError,
)


class BoundedReads(io.RawIOBase):
    """A readable, seekable file that refuses single reads above a size and positions above another.

    The readers of zip and tar believe the sizes that headers claim; through this they cannot be made to read gigabytes.
    """

    def __init__(self, raw: IO[bytes], *, max_read_bytes: int, max_position_bytes: int | None = None) -> None:
        self._raw = raw
        self._max_read = max_read_bytes
        self._max_position = max_position_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._raw.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if self._max_position is not None and whence == io.SEEK_SET and offset > self._max_position:
            raise ValueError(f"it unpacks to more than {self._max_position} bytes")
        return self._raw.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._max_read + 1 if size is None or size < 0 else size
        data = self._raw.read(min(wanted, self._max_read + 1))
        if len(data) > self._max_read:
            raise ValueError(f"a header claims more than {self._max_read} bytes")
        if self._max_position is not None and self._raw.tell() > self._max_position:
            raise ValueError(f"it unpacks to more than {self._max_position} bytes")
        return data


def member_chunks(archive: Path, member: str, *, max_bytes: int) -> Iterator[bytes]:
    """Yield one member's bytes.

    Parameters
    ----------
    archive : Path
        ``.whl``, ``.zip``, ``.tar.gz``, ``.tgz``, ``.tar``: told apart by content, not by name.
    member : str
        Its exact path inside the archive.
    max_bytes : int
        A larger member is refused.

    Raises
    ------
    SourceError
        No such member, not a regular file, too large, or the archive is malformed.
    """
    _check_inside(archive, member)
    with _well_formed(archive), open(archive, "rb") as raw:
        if _is_zip(raw):
            yield from _zip_member(raw, member, max_bytes)
        else:
            yield from _tar_member(raw, member, max_bytes)


def read_members(archive: Path, members: Sequence[str], *, max_bytes: int) -> dict[str, bytes]:
    """Return several members' bytes, from one pass over a tar ball.

    Parameters
    ----------
    archive : Path
    members : sequence of str
        Exact paths inside the archive.
    max_bytes : int
        Of all of them together; more are refused.

    Raises
    ------
    SourceError
        As :func:`member_chunks`.
    """
    for member in members:
        _check_inside(archive, member)
    wanted, out = list(dict.fromkeys(members)), {}
    with _well_formed(archive), open(archive, "rb") as raw:
        if _is_zip(raw):
            for member in wanted:
                out[member] = b"".join(_zip_member(raw, member, max_bytes))
                max_bytes -= len(out[member])
            return out
        with _tar(raw) as tar:
            for info in _headers(tar):
                if info.name in wanted and info.name not in out:
                    out[info.name] = b"".join(_tar_content(tar, info, max_bytes))
                    max_bytes -= len(out[info.name])
                    if len(out) == len(wanted):
                        break
        if missing := [member for member in wanted if member not in out]:
            raise ValueError(f"it holds no member named {missing[0]}")
    return out


def find_members(archive: Path, name: str) -> list[str]:
    """Return the paths of all regular files in an archive that are called ``name``.

    Raises
    ------
    SourceError
        The archive is malformed.
    """
    return [member for member in _names(archive) if PurePosixPath(member).name == name]


def find_member(archive: Path, *, name: str | None, suffix: str) -> str:
    """Return the path of the one member that is called ``name``, else of the one that ends in ``suffix``.

    Raises
    ------
    SourceError
        There is none or more than one, or the archive is malformed.
    """
    names = _names(archive)
    with _well_formed(archive):
        for wanted in (name, suffix):
            found = [n for n in names if wanted and (PurePosixPath(n).name == wanted or n.endswith(wanted))]
            if len(found) == 1:
                return found[0]
        raise ValueError(f"it holds {len(found) or 'no'} files *{suffix}")


def _names(archive: Path) -> list[str]:
    with _well_formed(archive), open(archive, "rb") as raw:
        if _is_zip(raw):
            with zipfile.ZipFile(BoundedReads(raw, max_read_bytes=MAX_HEADER_BYTES)) as listed:
                return [info.filename for info in listed.infolist() if not info.is_dir()]
        with _tar(raw) as tar:
            return [info.name for info in _headers(tar) if info.isreg()]


def _check_inside(archive: Path, member: str) -> None:
    parts = PurePosixPath(member).parts
    if not parts or member.startswith("/") or ".." in parts or "\\" in member:
        raise SourceError(f"'{member}' is not a path inside an archive", where=archive.name)


def _is_zip(raw: IO[bytes]) -> bool:
    head = raw.read(4)
    raw.seek(0)
    return head == b"PK\x03\x04"


@contextmanager
def _tar(raw: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """Open a tar ball, compressed or not."""
    head = raw.read(262)
    raw.seek(0)
    if head[:2] != b"\x1f\x8b" and head[257:] != b"ustar":
        raise ValueError("it is neither a zip nor a tar file")
    reader = BoundedReads(
        gzip.GzipFile(fileobj=raw) if head[:2] == b"\x1f\x8b" else raw,  # type: ignore[arg-type]
        max_read_bytes=MAX_HEADER_BYTES,
        max_position_bytes=MAX_UNPACKED_BYTES,
    )
    with tarfile.TarFile(fileobj=reader, errorlevel=2) as archive:
        yield archive


def _headers(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Read the headers one by one; the last one's content can be read."""
    for _ in range(MAX_MEMBERS):
        info = archive.next()
        if info is None:
            return
        archive.members.clear()  # type: ignore[attr-defined]  # tarfile remembers every header
        yield info
    raise ValueError(f"it holds more than {MAX_MEMBERS} members")


def _zip_member(raw: IO[bytes], member: str, max_bytes: int) -> Iterator[bytes]:
    with zipfile.ZipFile(BoundedReads(raw, max_read_bytes=MAX_HEADER_BYTES)) as archive:
        named = [i for i in archive.infolist() if i.filename == member]
        if len(named) != 1:
            raise ValueError(f"it holds {len(named) or 'no'} members named {member}")
        info = named[0]
        mode = info.external_attr >> 16
        if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)) or info.flag_bits & 1:
            raise ValueError(f"{member} is not a regular file")
        if info.file_size > max_bytes:
            raise ValueError(f"{member} has {info.file_size} bytes where at most {max_bytes} are wanted")
        with archive.open(info) as content:
            yield from _exactly(content, info.file_size, member)


def _tar_member(raw: IO[bytes], member: str, max_bytes: int) -> Iterator[bytes]:
    with _tar(raw) as archive:
        for info in _headers(archive):
            if info.name == member:
                yield from _tar_content(archive, info, max_bytes)
                return
    raise ValueError(f"it holds no member named {member}")


def _tar_content(archive: tarfile.TarFile, info: tarfile.TarInfo, max_bytes: int) -> Iterator[bytes]:
    if not info.isreg() or info.issparse():
        raise ValueError(f"{info.name} is not a regular file")
    if info.size > max_bytes:
        raise ValueError(f"{info.name} has {info.size} bytes where at most {max_bytes} are wanted")
    content = archive.extractfile(info)
    if content is None:
        raise ValueError(f"{info.name} is not a regular file")
    yield from _exactly(content, info.size, info.name)


def _exactly(content: IO[bytes], size: int, member: str) -> Iterator[bytes]:
    left = size
    while left:
        chunk = content.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise ValueError(f"{member} ends {left} bytes early")
        left -= len(chunk)
        yield chunk
    content.read(1)  # zipfile checks the CRC at the end


@contextmanager
def _well_formed(archive: Path) -> Iterator[None]:
    try:
        yield
    except MALFORMED as error:
        text = str(error) or type(error).__name__
        raise SourceError(f"not a usable archive: {text}", where=archive.name) from error
