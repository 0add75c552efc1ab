"""Adopt a file that a person has got: find out which of the network's sources it is from, by its hash or its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caffezoo.errors import FetchError, VerificationError
from caffezoo.formats.signature import HDF5_NAME, identify
from caffezoo.weights.cache import Check
from caffezoo.weights.fitness import TFJS
from caffezoo.weights.sources import WeightsFacts, place_of
from caffezoo.weights.suitability import check_suitable
from caffezoo.weights.transfer import HashedFacts, hashes_of_file, mismatch


@dataclass(frozen=True)
class Local:
    """What a file on this machine is among a network's sources.

    Attributes
    ----------
    facts : WeightsFacts
        Of the source.
    sha256 : str
        Of the file.
    check : {'published', 'first', 'skipped'}
    is_archive : bool
        The file is the archive that the source's weights lie in.
    """

    facts: WeightsFacts
    sha256: str
    check: Check
    is_archive: bool


def receive_local(path: Path, sources: Sequence[WeightsFacts], *, check_hashes: bool) -> Local:
    """Say what a file is among a network's sources: the weights of one, or the archive that they lie in.

    A source whose hash is known is the file's or it is not. A file that has none of the known hashes may be that of a
    source without one, if it is of that source's format; it counts as unverified then.

    Parameters
    ----------
    path : Path
    sources : sequence of WeightsFacts
        In order of trust.
    check_hashes : bool
        False takes the file for the first source of its format, whatever its hash.

    Raises
    ------
    FetchError
        It cannot be read.
    UnsuitableError
        It is a known file, and not this network's weights.
    VerificationError
        It is none of the network's files.
    """
    where = str(path)
    files = [_File(facts, facts, is_archive=False) for facts in sources if facts.format != TFJS]
    files += [_File(facts, facts.archive, is_archive=True) for facts in sources if facts.archive is not None]
    published = [file for file in files if file.hashed.checksum or file.hashed.sha256_prefix]
    algorithms = {"sha256", *(file.hashed.checksum[0] for file in published if file.hashed.checksum)}
    try:
        hashes, size, kind = hashes_of_file(where, algorithms), path.stat().st_size, identify(path)
    except OSError as error:
        raise FetchError(f"cannot be read: {error.strerror}", where=where) from error
    for file in published:
        if not mismatch(file.hashed, size, hashes):
            check_suitable(file.facts, offline=False)
            return Local(file.facts, hashes["sha256"], "published", file.is_archive)
    candidates = [
        file
        for file in files
        if file.facts.state != "never-published"
        and file.facts.training != "other"
        and file.facts.layout != "merged-batchnorm"
        and (_is_archive(kind) if file.is_archive else file.facts.format == _format_of(kind))
    ]
    unknown = [file for file in candidates if file not in published]
    if check_hashes and unknown:
        return Local(unknown[0].facts, hashes["sha256"], "first", unknown[0].is_archive)
    if not check_hashes and candidates:
        return Local(candidates[0].facts, hashes["sha256"], "skipped", candidates[0].is_archive)
    what = kind or "a caffemodel or nothing known"
    wanted = ", ".join(
        f"{':'.join(f.hashed.checksum or ('sha256', f.hashed.sha256_prefix or ''))} ({place_of(f.facts)})"
        for f in candidates
    )
    hint = "--no-verify takes it all the same" if candidates else None
    if _format_of(kind) == TFJS and (packed := [f.facts.archive.file for f in files if f.facts.archive is not None]):
        hint = f"give the archive as it is: {', '.join(packed)}"
    raise VerificationError(
        f"none of the network's files: it is {what}, its sha256 is {hashes['sha256']}"
        + (f", known are {wanted}" if wanted else ""),
        where=where,
        hint=hint,
    )


@dataclass(frozen=True)
class _File:
    """A file that a source knows of: its weights, or the archive that they lie in."""

    facts: WeightsFacts
    hashed: HashedFacts
    is_archive: bool


def _is_archive(kind: str | None) -> bool:
    return kind in ("a gzip archive", "a tar archive", "a zip archive")


def _format_of(kind: str | None) -> str:
    """Return the index's word for what :func:`identify` says."""
    if kind is None:
        return "caffemodel"
    if "torch" in kind or "safetensors" in kind:
        return "torch"
    if kind == HDF5_NAME or "Keras" in kind:
        return "keras"
    if "TensorFlow.js" in kind:
        return TFJS
    return kind
