"""Fetch: from a list of sources to a verified file in the cache.

Sources are tried in their order; the first whose bytes verify is used, and where none is, the error holds every
source's reason. One process fetches, others that want the same file wait for it. Nobody sees a file before it is
whole and verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from caffezoo.errors import FetchError, VerificationError, ZooError
from caffezoo.formats.signature import HDF5_NAME, identify
from caffezoo.weights.cache import Cache, CachedFile
from caffezoo.weights.convert import conversion_recipe, convert_weights
from caffezoo.weights.sources import MAX_WEIGHTS_BYTES, Request, WeightsFacts, open_source, place_of

CAFFEMODEL = "caffemodel"


class NetworkFacts(Protocol):
    """What is needed of a network; :class:`caffezoo.zoo.schema.NetworkEntry` is one."""

    @property
    def name(self) -> str: ...
    @property
    def prototxt_path(self) -> Path: ...
    @property
    def weights(self) -> Sequence[WeightsFacts]: ...


@dataclass(frozen=True)
class FetchProgress:
    """How far a fetch is.

    Attributes
    ----------
    name : str
        Network (or data set).
    stage : {'archive', 'file', 'convert'}
        An archive that holds the file comes in; the file comes in, or out of its archive; it is made a caffemodel.
    place : str
        Which source.
    done_bytes : int
    total_bytes : int or None
    """

    name: str
    stage: Literal["archive", "file", "convert"]
    place: str
    done_bytes: int
    total_bytes: int | None


Progress = Callable[[FetchProgress], None]


@dataclass(frozen=True)
class Received:
    """Bytes that arrived and verified: how many, their sha256, and whether a published hash stood against them."""

    bytes: int
    sha256: str
    verified: bool


def fetch_network(entry: NetworkFacts, *, cache: Cache | None = None, progress: Progress | None = None) -> Path:
    """Return a network's caffemodel, from the cache or from the first source that delivers it.

    Parameters
    ----------
    entry : NetworkEntry
        Name, prototxt and sources. Weights of other frameworks are converted for the prototxt.
    cache : Cache, optional
    progress : callable, optional
        Called with a :class:`FetchProgress` for every chunk.

    Returns
    -------
    Path
        The caffemodel in the cache, verified and held against the prototxt.

    Raises
    ------
    FetchError
        No source delivered it; the message holds every source's reason.
    """
    cache = cache if cache is not None else Cache()
    target = cache.path(entry.name, f"{entry.name}.{CAFFEMODEL}")
    if _is_current(cache.lookup(target), entry):
        return target
    if not entry.weights:
        raise FetchError("the index knows no weights", where=entry.name, hint="give a file with --weights")
    with cache.lock(target):
        if _is_current(cache.lookup(target), entry):
            return target
        reasons: list[str] = []
        for facts in entry.weights:
            if facts.state == "never-published":
                reasons.append("never published")
                continue
            try:
                _fetch_from(facts, entry, target, cache, progress)
            except ZooError as error:
                reasons.append(_reason(facts, error))
            else:
                return target
    raise FetchError(
        f"no source delivered its weights: {', '.join(reasons)}",
        where=entry.name,
        hint="give a file with --weights, or try again",
    )


def _fetch_from(
    facts: WeightsFacts, entry: NetworkFacts, target: Path, cache: Cache, progress: Progress | None
) -> CachedFile:
    recipe = _recipe(facts, entry)
    with cache.staging() as scratch:
        staged = scratch / "file"
        received = receive(facts, staged, scratch, name=entry.name, progress=progress)
        if facts.format == CAFFEMODEL:
            _check_weights(staged, entry)
            ready, sha256 = staged, received.sha256
        else:
            if progress is not None:
                progress(FetchProgress(entry.name, "convert", place_of(facts), received.bytes, received.bytes))
            ready = scratch / CAFFEMODEL
            convert_weights(entry.name, facts.format, staged, entry.prototxt_path, ready)
            with open(ready, "rb") as handle:
                sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
        return cache.adopt(
            ready, target, sha256=sha256, source=place_of(facts), recipe=recipe, verified=received.verified
        )


def receive(
    facts: WeightsFacts, staged: Path, scratch: Path, *, name: str, progress: Progress | None = None
) -> Received:
    """Bring one source's file to ``staged`` and verify its bytes.

    Raises
    ------
    SourceError
        The source's own reason.
    VerificationError
        Bytes arrived that are not the published ones: too many, too few, another hash, or (where no hash is known)
        a file of another kind.
    FetchError
        It cannot be written.
    """
    place = place_of(facts)

    def report(stage: Literal["archive", "file"], done: int, total: int | None) -> None:
        if progress is not None:
            progress(FetchProgress(name, stage, place, done, total))

    request = Request(0, scratch, lambda done, total: report("archive", done, total))
    sha256 = hashlib.sha256()
    published = facts.checksum
    other = hashlib.new(published[0]) if published and published[0] != "sha256" else None
    limit, done = facts.bytes or MAX_WEIGHTS_BYTES, 0
    try:
        stream = open_source(facts, request)
        with open(staged, "wb") as out:
            for chunk in stream.chunks:
                done += len(chunk)
                if done > limit:
                    raise VerificationError(f"more than the {limit} bytes that it must have", where=place)
                sha256.update(chunk)
                if other is not None:
                    other.update(chunk)
                out.write(chunk)
                report("file", done, facts.bytes or stream.total_bytes)
    except OSError as error:
        raise FetchError(
            f"cannot write: {error.strerror or error}",
            where=str(scratch),
            hint="CAFFEZOO_CACHE=DIR chooses another cache",
        ) from error
    found = (other or sha256).hexdigest()
    wrong = ""
    if facts.bytes and done != facts.bytes:
        wrong = f"{done} bytes instead of {facts.bytes}"
    elif published and found != published[1]:
        wrong = f"its {published[0]} is {found} instead of {published[1]}"
    elif facts.sha256_prefix and not sha256.hexdigest().startswith(facts.sha256_prefix):
        wrong = f"its sha256 is {sha256.hexdigest()}, which does not begin with {facts.sha256_prefix}"
    kind = identify(staged) if wrong or facts.format == CAFFEMODEL else None
    if wrong or kind not in (None, HDF5_NAME):
        message = ", it is ".join(part for part in (wrong, kind) if part)
        raise VerificationError(message if wrong else f"it is {kind}, not a caffemodel", where=place)
    return Received(done, sha256.hexdigest(), bool(published or facts.sha256_prefix))


def _check_weights(path: Path, entry: NetworkFacts) -> None:
    """Hold every layer and blob of a caffemodel against the prototxt."""
    from caffezoo.net.graph import Network

    Network.load(entry.prototxt_path, path)


def _recipe(facts: WeightsFacts, entry: NetworkFacts) -> str:
    if facts.format == CAFFEMODEL:
        return ""
    checksum = ":".join(facts.checksum or ("sha256-prefix", facts.sha256_prefix or "unknown"))
    return conversion_recipe(entry.name, facts.format, entry.prototxt_path, checksum)


def _is_current(found: CachedFile | None, entry: NetworkFacts) -> bool:
    """Whether a cached file is what one of the index's sources would give today."""
    if found is None:
        return False
    for facts in entry.weights:
        if facts.format == CAFFEMODEL:
            algorithm, digest = facts.checksum or ("", "")
            if not found.recipe and (algorithm != "sha256" or digest == found.sha256):
                return True
        elif found.recipe:
            try:
                if found.recipe == _recipe(facts, entry):
                    return True
            except ZooError:
                continue
    return False


def _reason(facts: WeightsFacts, error: ZooError) -> str:
    text, place = str(error), place_of(facts)
    return text if text.startswith(place) else f"{place}: {text}"
