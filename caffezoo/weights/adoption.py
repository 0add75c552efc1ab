"""Adopt a file that a person has got: find out which of the network's sources it is from, by its hash or its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from caffezoo.errors import FetchError, VerificationError
from caffezoo.formats.signature import HDF5_NAME, identify
from caffezoo.weights.cache import Check
from caffezoo.weights.sources import WeightsFacts, place_of
from caffezoo.weights.suitability import check_suitable
from caffezoo.weights.transfer import hashes_of_file, mismatch


def receive_local(
    path: Path, sources: Sequence[WeightsFacts], *, check_hashes: bool
) -> tuple[WeightsFacts, str, Check]:
    """Say what a file is among a network's sources.

    A source whose hash is known is the file's or it is not. A file that has none of the known hashes may be that of a
    source without one, if it is of that source's format; it counts as unverified then.

    Parameters
    ----------
    path : Path
    sources : sequence of WeightsFacts
        In order of trust.
    check_hashes : bool
        False takes the file for the first source of its format, whatever its hash.

    Returns
    -------
    facts : WeightsFacts
    sha256 : str
        Of the file.
    check : {'published', 'first', 'skipped'}

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
    published = [facts for facts in sources if facts.checksum or facts.sha256_prefix]
    algorithms = {"sha256", *(facts.checksum[0] for facts in published if facts.checksum)}
    try:
        hashes, size, kind = hashes_of_file(where, algorithms), path.stat().st_size, identify(path)
    except OSError as error:
        raise FetchError(f"cannot be read: {error.strerror}", where=where) from error
    for facts in published:
        if not mismatch(facts, size, hashes):
            check_suitable(facts, offline=False)
            return facts, hashes["sha256"], "published"
    candidates = [
        facts
        for facts in sources
        if facts.state != "never-published"
        and facts.training != "other"
        and facts.layout != "merged-batchnorm"
        and facts.format == _format_of(kind)
    ]
    unknown = [facts for facts in candidates if facts not in published]
    if check_hashes and unknown:
        return unknown[0], hashes["sha256"], "first"
    if not check_hashes and candidates:
        return candidates[0], hashes["sha256"], "skipped"
    what = kind or "a caffemodel or nothing known"
    wanted = ", ".join(
        f"{':'.join(f.checksum or ('sha256', f.sha256_prefix or ''))} ({place_of(f)})" for f in candidates
    )
    raise VerificationError(
        f"none of the network's files: it is {what}, its sha256 is {hashes['sha256']}"
        + (f", known are {wanted}" if wanted else ""),
        where=where,
        hint="--no-verify takes it all the same" if candidates else None,
    )


def _format_of(kind: str | None) -> str:
    """Return the index's word for what :func:`identify` says."""
    if kind is None:
        return "caffemodel"
    if "torch" in kind or "safetensors" in kind:
        return "torch"
    if kind == HDF5_NAME or "Keras" in kind:
        return "keras"
    return kind
