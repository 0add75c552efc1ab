"""What a network asks of a weights file: where it may come from, how it is converted, which layers it must hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from caffezoo.errors import VerificationError, WeightsFileError, ZooError
from caffezoo.formats.signature import HDF5_NAME, identify
from caffezoo.weights.cache import CachedFile
from caffezoo.weights.sources import WeightsFacts
from caffezoo.zoo.tensor_map import Conventions

CAFFEMODEL, TFJS = "caffemodel", "tfjs"


class NetworkFacts(Protocol):
    """What is needed of a network; :class:`caffezoo.zoo.entry.NetworkEntry` is one."""

    @property
    def name(self) -> str: ...
    @property
    def prototxt_path(self) -> Path: ...
    @property
    def weights(self) -> Sequence[WeightsFacts]: ...
    @property
    def conventions(self) -> Conventions: ...


def is_current(found: CachedFile, facts: WeightsFacts, entry: NetworkFacts) -> bool:
    """Whether a cached file is what a source would give today."""
    if facts.state == "never-published" or facts.training == "other" or facts.layout == "merged-batchnorm":
        return False
    if facts.format == CAFFEMODEL:
        return not found.recipe and _fits(found, facts) and _local_sha256(facts) in (None, found.sha256)
    try:
        return bool(found.recipe) and found.recipe == recipe_of(facts, entry)
    except ZooError:
        return False


def _fits(found: CachedFile, facts: WeightsFacts) -> bool:
    """Whether what is known of a cached caffemodel does not speak against a source's published size and sha256."""
    algorithm, digest = facts.checksum or ("", "")
    return found.check == "skipped" or (
        facts.bytes in (None, found.bytes)
        and (algorithm != "sha256" or digest == found.sha256)
        and found.sha256.startswith(facts.sha256_prefix or "")
    )


def _local_sha256(facts: WeightsFacts) -> str | None:
    """Return the hash of a file of this machine as it is now: its owner trains on, and the name stays. Else None."""
    if facts.scheme != "file" or facts.archive is not None or facts.path is None or not os.path.isfile(facts.path):
        return None
    with open(facts.path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def recipe_of(facts: WeightsFacts, entry: NetworkFacts) -> str:
    """Return a hash over all that a conversion depends on; empty for a caffemodel, which needs none.

    Raises
    ------
    SourceError
        It cannot be converted for this network.
    """
    if facts.format == CAFFEMODEL:
        return ""
    from caffezoo.weights.convert import conversion_recipe

    of_archive = facts.archive.checksum if facts.archive is not None and facts.format == TFJS else None
    checksum = ":".join(facts.checksum or of_archive or ("sha256-prefix", facts.sha256_prefix or "unknown"))
    checksum = _local_sha256(facts) or checksum
    return conversion_recipe(
        entry.name, facts.format, entry.prototxt_path, checksum, scheme=facts.naming, wanted=entry.conventions
    )


def check_weights(path: Path, entry: NetworkFacts, place: str) -> None:
    """Hold every layer and blob of a caffemodel against the prototxt.

    Raises
    ------
    VerificationError
        It is another kind of file, damaged, or another network's.
    """
    from caffezoo.formats.caffemodel import read_weights
    from caffezoo.net.binding import bind
    from caffezoo.net.graph import Network

    kind = identify(path)
    if kind not in (None, HDF5_NAME):
        raise VerificationError(f"it is {kind}, not a caffemodel", where=place)
    try:
        # The values stay on the disk: a file of half a gigabyte is checked in a few megabytes.
        bind(Network.load(entry.prototxt_path).nodes, read_weights(path, values=False))
    except ZooError as error:
        damaged = isinstance(error, WeightsFileError)
        message = error.message if damaged else f"its layers are not the network's: {error.message}"
        raise VerificationError(message, where=place, hint=error.hint) from error
