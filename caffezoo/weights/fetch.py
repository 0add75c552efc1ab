"""Fetch: from a list of sources to a verified file in the cache.

Sources are asked in their order; the first whose bytes verify and whose layers are the network's is used, and where
none is, the error holds every source's reason. One process fetches, others that want the same file wait for it.
Nobody sees a file before it is whole and verified.
"""

from __future__ import annotations

import shutil
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from caffezoo.errors import FetchError, VerificationError, ZooError
from caffezoo.weights.adoption import receive_local
from caffezoo.weights.archive import find_member, member_chunks
from caffezoo.weights.cache import Cache, CachedFile, Check, cache_writes
from caffezoo.weights.events import FetchEvent, FetchProgress, Progress, SourceFailed, Waiting
from caffezoo.weights.failures import CacheError, NoSourceError, SourceFailure, kind_of
from caffezoo.weights.fitness import CAFFEMODEL, TFJS, NetworkFacts, check_weights, is_current, recipe_of
from caffezoo.weights.options import FetchOptions
from caffezoo.weights.parts import Part
from caffezoo.weights.pins import Pins
from caffezoo.weights.sources import MAX_WEIGHTS_BYTES, WeightsFacts, key_of, open_source, place_of
from caffezoo.weights.suitability import check_suitable, ranked
from caffezoo.weights.transfer import HashedFacts, Published, Received, Transfer, hashes_of_file, mismatch

MEMBER_SUFFIXES = {CAFFEMODEL: ".caffemodel", "torch": ".pth", "keras": ".h5", "mxnet": ".params", "tf": ".ckpt"}
State = Literal["cached", "fetched", "resumed", "adopted"]


@dataclass(frozen=True)
class FetchResult:
    """A network's weights in the cache.

    Attributes
    ----------
    name : str
    file : CachedFile
        With its path, size, hash, source and what stood against it.
    state : {'cached', 'fetched', 'resumed', 'adopted'}
        It was there; it came, all of it or the rest of it; the user brought it.
    seconds : float
    failures : tuple of SourceFailure
        Sources that were asked before and did not deliver.
    """

    name: str
    file: CachedFile
    state: State
    seconds: float
    failures: tuple[SourceFailure, ...] = ()


def fetch_network(
    entry: NetworkFacts,
    *,
    cache: Cache | None = None,
    progress: Progress | None = None,
    options: FetchOptions | None = None,
) -> Path:
    """Return a network's caffemodel; :func:`fetch_weights` says more."""
    return fetch_weights(entry, cache=cache, progress=progress, options=options).file.path


def fetch_weights(
    entry: NetworkFacts,
    *,
    cache: Cache | None = None,
    progress: Progress | None = None,
    options: FetchOptions | None = None,
) -> FetchResult:
    """Bring a network's weights into the cache, from the first source that delivers them.

    Parameters
    ----------
    entry : NetworkEntry
        Name, prototxt and sources. Weights of other frameworks are converted for the prototxt.
    cache : Cache, optional
    progress : callable, optional
        Called with every event of :mod:`caffezoo.weights.events`.
    options : FetchOptions, optional

    Returns
    -------
    FetchResult
        Its file is verified and held against the prototxt.

    Raises
    ------
    NoSourceError
        No source delivered it; ``failures`` holds every source's reason.
    CacheError
        The cache cannot be written.
    UsageError
        ``options.source`` names no source.
    """
    return _Fetch(entry, cache or Cache(), progress or (lambda event: None), options or FetchOptions()).run()


class _Fetch:
    def __init__(self, entry: NetworkFacts, cache: Cache, tell: Progress, options: FetchOptions) -> None:
        self.entry, self.cache, self.tell, self.options = entry, cache, tell, options
        self.target = cache.path(entry.name, f"{entry.name}.{CAFFEMODEL}")
        self.sources = ranked(entry.weights, options.source)
        self.failures: list[SourceFailure] = []
        self.begun = time.perf_counter()

    def run(self) -> FetchResult:
        if (found := self._cached()) is not None:
            return found
        name = self.entry.name
        if not self.entry.weights and self.options.from_file is None:
            raise NoSourceError("the index knows no weights", (), where=name, hint="adopt a file with --from-file")
        lock = self.cache.lock(
            self.target,
            timeout_s=self.options.lock_timeout_s,
            waiting=lambda owner: self.tell(Waiting(name, owner)),
        )
        with lock:
            if (found := self._cached()) is not None:
                return found
            if self.options.from_file is not None:
                return self._local(self.options.from_file)
            if self.target.is_file() and not self.cache.knows(self.target):
                try:
                    return self._local(self.target)
                except ZooError as error:
                    self._failed(0, str(self.target), error, 1)
            for number, facts in ((source.number, source.facts) for source in self.sources):
                transfer = None
                try:
                    check_suitable(facts, offline=self.options.offline)
                    recipe = recipe_of(facts, self.entry)
                    transfer = self._transfer(facts)
                    return self._from(facts, recipe, transfer)
                except CacheError:
                    raise
                except ZooError as error:
                    if self.options.cancelled.is_set():
                        raise
                    self._failed(number, place_of(facts), error, transfer.attempts if transfer else 0)
        raise NoSourceError(
            "no source delivered its weights" if self.failures else "it has no source of that kind",
            self.failures,
            where=name,
            hint=f"get the file by hand and adopt it with `caffezoo fetch {name} --from-file FILE`, or try again later",
        )

    def _cached(self) -> FetchResult | None:
        found = self.cache.lookup(self.target)
        if found is None or self.options.from_file is not None or not self._is_current(found):
            return None
        if self.options.verify:
            with cache_writes(self.target):
                if hashes_of_file(str(self.target), {"sha256"})["sha256"] != found.sha256:
                    return None
        if found.check == "skipped":
            warnings.warn(unverified(self.entry.name), stacklevel=4)
        return self._result(found, "cached")

    def _is_current(self, found: CachedFile) -> bool:
        """Whether a cached file is what one of the sources would give today."""
        if self.options.source is not None and found.source not in {place_of(s.facts) for s in self.sources}:
            return False
        if found.check == "skipped" and self.options.verify:
            return False
        return any(is_current(found, source.facts, self.entry) for source in self.sources)

    def _transfer(self, facts: WeightsFacts) -> Transfer:
        part = Part(self.cache, self.entry.name, key_of(facts))
        wanted: HashedFacts = facts.archive if facts.archive is not None else facts
        return Transfer(
            self.entry.name,
            place_of(facts),
            "archive" if facts.archive is not None else "file",
            lambda request: open_source(facts, request),
            part,
            wanted if self.options.check_hashes else Published(),
            self.options,
            self.tell,
        )

    def _from(self, facts: WeightsFacts, recipe: str, transfer: Transfer) -> FetchResult:
        received = transfer.run()
        try:
            with self.cache.staging() as scratch:
                staged = transfer.part.path
                if facts.archive is not None:
                    staged, received = self._unpack(facts, staged, scratch, received)
                check = self._pinned(facts, received)
                state: State = "resumed" if received.resumed_bytes else "fetched"
                return self._finish(facts, recipe, staged, scratch, received, check, state)
        finally:
            transfer.part.discard()

    def _unpack(self, facts: WeightsFacts, archive: Path, scratch: Path, received: Received) -> tuple[Path, Received]:
        if facts.format == TFJS:
            return archive / (facts.member or ""), received  # several files, which the reader takes out by itself
        staged = scratch / (Path(facts.file).name if facts.file else "member")
        member = facts.member or find_member(archive, name=facts.file, suffix=MEMBER_SUFFIXES[facts.format])
        done, place = 0, place_of(facts)
        # What goes wrong while reading the archive is a SourceError already.
        with cache_writes(staged), open(staged, "wb") as out:
            for chunk in member_chunks(archive, member, max_bytes=facts.bytes or MAX_WEIGHTS_BYTES):
                out.write(chunk)
                done += len(chunk)
                self.tell(FetchProgress(self.entry.name, "file", place, done, facts.bytes))
        algorithms = {"sha256", facts.checksum[0]} if facts.checksum else {"sha256"}
        found = hashes_of_file(str(staged), algorithms)
        wrong = mismatch(facts, done, found) if self.options.check_hashes else ""
        if wrong:
            raise VerificationError(f"{member} in it: {wrong}", where=place)
        published = received.published or bool(facts.checksum or facts.sha256_prefix)
        return staged, replace(received, bytes=done, sha256=found["sha256"], published=published)

    def _pinned(self, facts: WeightsFacts, received: Received) -> Check:
        """Hold a hash that nothing published stands against to what this place delivered before."""
        if not self.options.check_hashes:
            return "skipped"
        if received.published:
            return "published"
        if facts.scheme == "file":
            return "first"  # it is its owner's to change
        pins, key = Pins(self.cache, self.entry.name), key_of(facts)
        pin = pins.get(key)
        if pin is None:
            return "first"
        if pin.sha256 != received.sha256:
            raise VerificationError(
                f"its sha256 is {received.sha256}, on {pin.pinned_at[:10]} it was {pin.sha256}",
                where=place_of(facts),
                hint=f"if the change is meant, `caffezoo cache prune {self.entry.name} --pins` forgets the old one",
            )
        return "pinned"

    def _finish(
        self,
        facts: WeightsFacts,
        recipe: str,
        staged: Path,
        scratch: Path,
        received: Received,
        check: Check,
        state: State,
    ) -> FetchResult:
        """Hold the file against the prototxt, or make it a file that is; put it into its place."""
        place, size, sha256 = place_of(facts), received.bytes, received.sha256
        if facts.format == CAFFEMODEL:
            check_weights(staged, self.entry, place)
        else:
            from caffezoo.weights.convert import convert_weights

            self.tell(FetchProgress(self.entry.name, "convert", place, size, size))
            ready = scratch / CAFFEMODEL
            with cache_writes(ready):
                convert_weights(
                    self.entry.name,
                    facts.format,
                    staged,
                    self.entry.prototxt_path,
                    ready,
                    scheme=facts.naming,
                    wanted=self.entry.conventions,
                )
                staged, sha256 = ready, hashes_of_file(str(ready), {"sha256"})["sha256"]
        if facts.training == "unknown":
            warnings.warn(
                f"{self.entry.name}: it is not known whether weights from {place} are those of the published figures",
                stacklevel=6,
            )
        if check == "first" and state != "adopted":
            Pins(self.cache, self.entry.name).set(key_of(facts), received.sha256, size)
        found = self.cache.adopt(staged, self.target, sha256=sha256, source=place, recipe=recipe, check=check)
        return self._result(found, state)

    def _local(self, path: Path) -> FetchResult:
        """Adopt a file that the user has got."""
        with self.cache.staging() as scratch:
            found = receive_local(
                path, [source.facts for source in self.sources], check_hashes=self.options.check_hashes
            )
            staged = scratch / ("archive" if found.is_archive else path.name)
            with cache_writes(staged):
                shutil.copyfile(path, staged)
            if hashes_of_file(str(staged), {"sha256"})["sha256"] != found.sha256:
                raise FetchError("it changed while it was copied", where=str(path))
            recipe = recipe_of(found.facts, self.entry)
            received = Received(staged.stat().st_size, found.sha256, found.check == "published", 0, 0)
            if found.is_archive:
                staged, received = self._unpack(found.facts, staged, scratch, received)
            return self._finish(found.facts, recipe, staged, scratch, received, found.check, "adopted")

    def _failed(self, number: int, place: str, error: ZooError, attempts: int) -> None:
        failure = SourceFailure(number, place, kind_of(error), str(error), attempts)
        self.failures.append(failure)
        event: FetchEvent = SourceFailed(self.entry.name, number, place, failure.kind, failure.reason, attempts)
        self.tell(event)

    def _result(self, found: CachedFile, state: State) -> FetchResult:
        seconds = time.perf_counter() - self.begun
        return FetchResult(self.entry.name, found, state, seconds, tuple(self.failures))


def unverified(name: str) -> str:
    """What to say of a file that was taken with ``--no-verify``."""
    return f"{name}: its weights were taken with --no-verify; `caffezoo fetch {name} --verify` fetches verified ones"
