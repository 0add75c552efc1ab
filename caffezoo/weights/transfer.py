"""Bring one file from one source into its part: go on where the last run stopped, try again, verify on the way."""

from __future__ import annotations

import hashlib
import hmac
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from caffezoo.errors import FetchError, VerificationError
from caffezoo.formats.signature import identify
from caffezoo.weights.cache import cache_writes
from caffezoo.weights.events import AttemptFailed, FetchEvent, FetchProgress, SourceOpened, Stage
from caffezoo.weights.failures import BusyError, CacheError
from caffezoo.weights.hashing import StreamHasher
from caffezoo.weights.options import FetchOptions
from caffezoo.weights.parts import Part, PartNote
from caffezoo.weights.sources import MAX_WEIGHTS_BYTES, Request, SourceStream

MAX_WAIT_S = 60.0
READ_BYTES = 1 << 20
NEVER_WEIGHTS = ("an HTML page", "a git LFS pointer", "an XML document")


class HashedFacts(Protocol):
    """What is published of a file's bytes."""

    @property
    def bytes(self) -> int | None: ...
    @property
    def checksum(self) -> tuple[str, str] | None: ...
    @property
    def sha256_prefix(self) -> str | None: ...


@dataclass(frozen=True)
class Published:
    """What is published of a file's bytes: nothing, unless given."""

    bytes: int | None = None
    checksum: tuple[str, str] | None = None
    sha256_prefix: str | None = None


@dataclass(frozen=True)
class Received:
    """A whole file in its part.

    Attributes
    ----------
    bytes : int
    sha256 : str
    published : bool
        Whether a published hash stood against it.
    attempts : int
    resumed_bytes : int
        What an earlier run had left of it.
    """

    bytes: int
    sha256: str
    published: bool
    attempts: int
    resumed_bytes: int


class Transfer:
    """One file from one source to its part.

    Parameters
    ----------
    name, place : str
        Network and source, for messages.
    stage : {'archive', 'file'}
    open_stream : callable
        Opens the source.
    part : Part
    wanted : HashedFacts
        What the file must be.
    options : FetchOptions
    tell : callable
        Takes events.
    """

    def __init__(
        self,
        name: str,
        place: str,
        stage: Stage,
        open_stream: Callable[[Request], SourceStream],
        part: Part,
        wanted: HashedFacts,
        options: FetchOptions,
        tell: Callable[[FetchEvent], None],
    ) -> None:
        self.name, self.place, self.stage = name, place, stage
        self.open_stream, self.part, self.wanted, self.options, self.tell = open_stream, part, wanted, options, tell
        self.attempts = 0

    def run(self) -> Received:
        """Return what the part holds when it is whole and verified.

        Raises
        ------
        SourceError
            The source's own reason, after the last attempt; what has come is kept.
        VerificationError
            Other bytes than the published ones; they are removed.
        CacheError
            The cache cannot be written; what has come is kept.
        """
        resumed = self.part.state()[0]
        while True:
            self.attempts += 1
            begun_at = self.part.state()[0]
            try:
                received = self._attempt()
            except BusyError as error:
                # Random, so that many clients do not come back at the same moment.
                wait_s = 0.5 * 2 ** (self.attempts - 1) * random.uniform(0.75, 1.25)
                wait_s = min(wait_s, MAX_WAIT_S) if error.retry_after_s is None else error.retry_after_s
                if self.attempts >= self.options.attempts:
                    raise
                if wait_s > MAX_WAIT_S:
                    error.hint = f"it asks to be left alone for {wait_s:.0f} s"
                    raise
                self.tell(AttemptFailed(self.name, self.place, str(error), self.attempts, wait_s))
                if self.options.cancelled.wait(wait_s):
                    raise
            except VerificationError:
                self.part.discard()
                # The beginning may be from a version that no validator told apart: once more, from the first byte.
                if begun_at == 0:
                    raise
                resumed = 0
                self.attempts -= 1
            else:
                return Received(*received, self.attempts, resumed)

    def _attempt(self) -> tuple[int, str, bool]:
        size, note = self.part.state()
        usable = note is not None and (note.validator is not None or self._is_published)
        offset = size if usable else 0
        whole = None if note is None else note.total_bytes or self.wanted.bytes
        checksum = self.wanted.checksum
        algorithms = {"sha256", checksum[0]} if checksum else {"sha256"}
        with StreamHasher(algorithms) as hasher:
            if offset and offset == whole:
                self._rehash(offset, hasher)
                return self._verified(offset, hasher, None)
            validator = note.validator if note is not None and offset else None
            how = self.options
            stream = self.open_stream(Request(offset, validator, how.timeout_s, how.offline, how.cookies))
            with stream:
                total = self._agreed_total(stream, note if offset else None)
                if stream.offset_bytes != offset or not offset:
                    offset = 0
                    if stream.offset_bytes:
                        raise BusyError(f"it begins at byte {stream.offset_bytes}", where=self.place)
                    self.part.begin(PartNote(self.place, stream.validator, total))
                self._check_room((total or 0) - offset)
                self.tell(SourceOpened(self.name, self.place, offset, self.attempts))
                done = self._append(stream, offset, total, hasher)
            return self._verified(done, hasher, stream.sha256)

    @property
    def _is_published(self) -> bool:
        return bool(self.wanted.checksum or self.wanted.sha256_prefix)

    def _agreed_total(self, stream: SourceStream, note: PartNote | None) -> int | None:
        """Return the size of the whole file, if all who state it agree."""
        total = stream.total_bytes
        if total is not None and self.wanted.bytes is not None and total != self.wanted.bytes:
            raise VerificationError(f"it has {total} bytes instead of {self.wanted.bytes}", where=self.place)
        before = note.total_bytes if note is not None and stream.offset_bytes else None
        if None not in (total, before) and total != before:
            raise VerificationError(f"it has {total} bytes, it had {before}", where=self.place)
        return total or self.wanted.bytes

    def _check_room(self, needed_bytes: int) -> None:
        with cache_writes(self.part.path):
            free = shutil.disk_usage(self.part.path.parent).free
        if needed_bytes > free:
            raise CacheError(
                f"{needed_bytes} more bytes are needed, {free} are free",
                where=str(self.part.path.parent),
                hint="make room (`caffezoo cache prune`), or choose another cache with --cache or CAFFEZOO_CACHE",
            )

    def _rehash(self, size: int, hasher: StreamHasher) -> None:
        left = size
        with cache_writes(self.part.path), open(self.part.path, "rb") as handle:
            while left and (chunk := handle.read(min(READ_BYTES, left))):
                hasher.update(chunk)
                left -= len(chunk)

    def _append(self, stream: SourceStream, offset: int, total: int | None, hasher: StreamHasher) -> int:
        if offset:
            self._rehash(offset, hasher)
        limit = min(total or MAX_WEIGHTS_BYTES, self.wanted.bytes or MAX_WEIGHTS_BYTES)
        done = offset
        with _unbuffered(self.part.path) as out:
            for chunk in stream.chunks:
                if self.options.cancelled.is_set():
                    raise FetchError("interrupted", where=self.place)
                if not done and (kind := identify(chunk) or "").startswith(NEVER_WEIGHTS):
                    raise VerificationError(f"it is {kind}", where=self.place)
                done += len(chunk)
                if done > limit:
                    raise VerificationError(f"more than the {limit} bytes that it must have", where=self.place)
                hasher.update(chunk)
                with cache_writes(self.part.path):
                    _write_all(out, chunk)
                self.tell(FetchProgress(self.name, self.stage, self.place, done, total))
        if total is not None and done < total and self.wanted.bytes is None:
            raise BusyError(f"it ends after {done} of {total} bytes", where=self.place)
        return done

    def _verified(self, done: int, hasher: StreamHasher, stated: str | None) -> tuple[int, str, bool]:
        found = hasher.hexdigests()
        wrong = mismatch(self.wanted, done, found)
        if not wrong and stated is not None and self.options.check_hashes:
            wrong = mismatch(Published(checksum=("sha256", stated)), done, found)
        if wrong:
            kind = identify(self.part.path) if self.part.path.exists() else "an empty file"
            raise VerificationError(f"{wrong}, it is {kind}" if kind else wrong, where=self.place)
        return done, found["sha256"], self._is_published


def mismatch(wanted: HashedFacts, size: int, hashes: dict[str, str]) -> str:
    """Say how a file's bytes differ from the published ones; empty where they do not.

    Parameters
    ----------
    wanted : HashedFacts
    size : int
        Bytes of the file.
    hashes : dict of str to str
        Its sha256, and its hash by the algorithm of ``wanted.checksum``.
    """
    if wanted.bytes is not None and size != wanted.bytes:
        return f"{size} bytes instead of {wanted.bytes}"
    if wanted.checksum is not None:
        algorithm, digest = wanted.checksum
        if not hmac.compare_digest(hashes[algorithm], digest.lower()):
            return f"its {algorithm} is {hashes[algorithm]} instead of {digest}"
    prefix = wanted.sha256_prefix
    if prefix is not None and not hmac.compare_digest(hashes["sha256"][: len(prefix)], prefix):
        return f"its sha256 is {hashes['sha256']}, which does not begin with {prefix}"
    return ""


def hashes_of_file(path: str, algorithms: set[str]) -> dict[str, str]:
    """Hash a file by several algorithms in one reading.

    Raises
    ------
    OSError
    """
    digests = {name: hashlib.new(name) for name in algorithms}
    with open(path, "rb") as handle:
        while chunk := handle.read(READ_BYTES):
            for digest in digests.values():
                digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _unbuffered(path: Path) -> BinaryIO:
    with cache_writes(path):
        return open(path, "ab", buffering=0)


def _write_all(out: BinaryIO, chunk: bytes) -> None:
    """Write unbuffered: what the kernel has taken survives a kill."""
    view = memoryview(chunk)
    while view:
        view = view[out.write(view) :]
