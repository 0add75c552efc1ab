"""Tell in a few milliseconds that a cached file is still the right one.

To know that, the fetcher compares what the index says today, the prototxt and, for converted weights, the tensor map,
which costs the import of half the package. What all of that depends on is a few files: the stamp is a hash over the
network's record in the index, its prototxt, and size and time of the package's files that decide. It is noted beside
a file that was found right; the same stamp means the same answer.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caffezoo.weights.cache import Cache, CachedFile

_DECIDING = ("weights", "zoo", "zoo/architectures", "formats", "net", "net/layers")


def stamp_of(name: str, record: Mapping[str, Any], prototxt: Path) -> str:
    """Return the stamp of a network as it is today.

    Parameters
    ----------
    name : str
    record : mapping
        Of the index, as :meth:`caffezoo.zoo.index.Index.record` gives it.
    prototxt : Path

    Raises
    ------
    OSError
        The prototxt cannot be read.
    """
    digest = hashlib.sha256(json.dumps([name, record], sort_keys=True, default=str).encode())
    digest.update(prototxt.read_bytes())
    for weights in record.get("weights", ()):
        if weights.get("scheme") == "file" and os.path.isfile(weights.get("path", "")):
            state = os.stat(weights["path"])
            digest.update(f"{state.st_size} {state.st_mtime_ns}\n".encode())
    package = Path(__file__).resolve().parent.parent
    for folder in _DECIDING:
        with os.scandir(package / folder) as entries:
            states = sorted((e.name, e.stat().st_size, e.stat().st_mtime_ns) for e in entries if e.name.endswith(".py"))
        digest.update(repr(states).encode())
    return digest.hexdigest()


def stamped(cache: Cache, name: str, stamp: str) -> CachedFile | None:
    """Return a network's cached file if it carries this stamp."""
    found = cache.lookup(cache.path(name, f"{name}.caffemodel"))
    return found if found is not None and found.stamp == stamp else None
