"""Images in a tar file, read in place: an index of where each member lies, and no extraction.

Tars inside the tar (the training set of ILSVRC2012 holds one a class) are looked into; the members of ``n01440764.tar``
have the key ``n01440764/...``. The index is kept in the cache folder, under the archive's path, size and time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, ClassVar

from caffezoo.data.base import Dataset, Sample, check_size, is_image_name
from caffezoo.errors import DataError, ImageError
from caffezoo.zoo.resources import cache_dir

BLOCK_BYTES = 512
MAX_MEMBERS = 20_000_000
_FORM = 1  # of the cached index


@dataclass(frozen=True)
class Member:
    """A regular file in a tar: its name, and where its bytes lie in the outermost file."""

    name: str
    offset_bytes: int
    size_bytes: int


class TarFile:
    """Members of an uncompressed tar by offset; may be pickled, and read by several threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def members(self) -> tuple[Member, ...]:
        """Return all regular files, in the order of the archive, from the cached index where there is one.

        Raises
        ------
        DataError
            No tar, compressed, or cut off.
        """
        try:
            state = os.stat(self.path)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=self.path) from None
        identity = [_FORM, os.path.abspath(self.path), state.st_size, state.st_mtime_ns]
        note = _index_file(identity)
        known = _cached(note, identity)
        if known is not None:
            return known
        found = tuple(_walk(self.path, state.st_size))
        with suppress(OSError):  # without a cached index the next run walks again
            note.parent.mkdir(parents=True, exist_ok=True)
            staged = note.with_name(f"{note.name}.{os.getpid()}")
            rows = [[m.name, m.offset_bytes, m.size_bytes] for m in found]
            staged.write_text(json.dumps([identity, rows]), "utf-8")
            os.replace(staged, note)
        return found

    def read(self, member: Member) -> bytes:
        """Return a member's bytes.

        Raises
        ------
        ImageError
        """
        where = f"{self.path}/{member.name}"
        check_size(member.size_bytes, where)
        try:
            with self._lock:
                if self._descriptor is None:
                    self._descriptor = os.open(self.path, os.O_RDONLY)
            data = os.pread(self._descriptor, member.size_bytes, member.offset_bytes)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror}", where=where) from None
        if len(data) != member.size_bytes:
            raise ImageError("the archive ends inside it", where=where)
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def __del__(self) -> None:
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


class TarDataset(Dataset):
    """The images of a tar, by name."""

    kind: ClassVar[str] = "tar"

    def __init__(self, name: str) -> None:
        self.name = name
        self._tar = TarFile(name)
        images = [member for member in self._tar.members() if is_image_name(member.name)]
        self._members = tuple(sorted(images, key=lambda member: member.name))
        for one, following in pairwise(self._members):
            if one.name == following.name:
                raise DataError(f"it holds two members '{one.name}'", where=name)

    def __len__(self) -> int:
        return len(self._members)

    def sample(self, index: int) -> Sample:
        member = self._members[index]
        return Sample(member.name, None, f"{self.name}/{member.name}")

    def read(self, index: int) -> bytes:
        return self._tar.read(self._members[index])


def _index_file(identity: list[Any]) -> Path:
    digest = hashlib.sha256(json.dumps(identity[:2]).encode()).hexdigest()[:24]
    return cache_dir() / "tar-indexes" / f"{digest}.json"


def _cached(note: Path, identity: list[Any]) -> tuple[Member, ...] | None:
    try:
        known, rows = json.loads(note.read_text("utf-8"))
        if known != identity:
            return None
        return tuple(Member(str(name), int(offset), int(size)) for name, offset, size in rows)
    except (OSError, ValueError, TypeError):
        return None


def _walk(path: str, size_bytes: int) -> Iterator[Member]:
    try:
        with open(path, "rb") as stream:
            if not size_bytes:
                raise DataError("an empty file, not an archive", where=path)
            yield from _members(stream, 0, size_bytes, "", path)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from None


def _members(stream: IO[bytes], start: int, size_bytes: int, prefix: str, where: str) -> Iterator[Member]:
    """Walk the headers of the tar that lies at ``start``."""
    window = _Window(stream, start, size_bytes)
    count = 0
    try:
        with tarfile.open(fileobj=window, mode="r:") as archive:
            for entry in archive:
                count += 1
                if count > MAX_MEMBERS:
                    raise DataError(f"more than {MAX_MEMBERS} members", where=where)
                if not entry.isreg() or entry.issparse():
                    continue
                name = prefix + entry.name.removeprefix("./").lstrip("/")
                if name.lower().endswith(".tar"):
                    inner = name[: -len(".tar")] + "/"
                    yield from _members(stream, start + entry.offset_data, entry.size, inner, f"{where}/{name}")
                else:
                    yield Member(name, start + entry.offset_data, entry.size)
            end = archive.offset
    except tarfile.TarError as error:
        raise DataError(*_what_is_wrong(stream, start, count, error), where=where) from None
    if count == 0:
        raise DataError("the archive holds nothing", where=where)
    # A whole tar ends in blocks of zeros; one that was cut between two members does not.
    window.seek(end)
    tail = window.read(BLOCK_BYTES)
    if len(tail) < BLOCK_BYTES or any(tail):
        raise DataError(f"the archive has no end behind its {count} members: it was cut off", where=where)


def _what_is_wrong(stream: IO[bytes], start: int, count: int, error: tarfile.TarError) -> tuple[str]:
    stream.seek(start)
    magic = stream.read(6)
    for head, name in ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")):
        if magic.startswith(head):
            return (f"a tar compressed with {name} cannot be read in place; unpack the {name} layer first",)
    if count:
        return (f"the archive is damaged or cut off behind member {count}: {error}",)
    return ("not a tar archive",)


class _Window(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, stream: IO[bytes], start: int, size_bytes: int) -> None:
        self._stream, self._start, self._size, self._at = stream, start, size_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > 1 << 26:
            raise tarfile.ReadError(f"a header claims {wanted} bytes")
        self._stream.seek(self._start + self._at)
        data = self._stream.read(wanted)
        self._at += len(data)
        return data
