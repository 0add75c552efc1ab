"""Files on their way: what has come so far, and which version of the file it is from.

::

    <root>/parts/<network>/<place>.part         the bytes so far
    <root>/parts/<network>/<place>.part.json    PartNote

A part outlives its process: the next fetch from the same place goes on from its end. Whoever uses one holds the lock
of the file that it is to become.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass

from caffezoo.weights.cache import Cache, cache_writes

PARTS_ROOM = "parts"


@dataclass(frozen=True)
class PartNote:
    """Which file a part is of.

    Attributes
    ----------
    place : str
        In words, for people.
    validator : str or None
        ETag or date of the version that the bytes are from.
    total_bytes : int or None
        Size of the whole file, where the source said it.
    """

    place: str
    validator: str | None
    total_bytes: int | None


class Part:
    """The bytes of one place so far.

    Parameters
    ----------
    cache : Cache
    group : str
        The network that it is for.
    place : str
        Scheme and full address: another address is another part.
    """

    def __init__(self, cache: Cache, group: str, place: str) -> None:
        name = hashlib.sha256(place.encode()).hexdigest()[:24]
        self.path = cache.path(group, f"{name}.part", room=PARTS_ROOM)
        self._note = self.path.with_name(f"{name}.part.json")

    def state(self) -> tuple[int, PartNote | None]:
        """Return how many bytes are there, and which file they are of; nothing is there without its note."""
        try:
            note = PartNote(**json.loads(self._note.read_text("utf-8")))
            size = self.path.stat().st_size
        except (OSError, ValueError, TypeError):
            return 0, None
        return size, note

    def begin(self, note: PartNote) -> None:
        """Forget what is there; what comes now is of the file that ``note`` names.

        Raises
        ------
        CacheError
        """
        with cache_writes(self.path):
            self.discard()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._note.with_name(f"{self._note.name}.{os.getpid()}")
            temporary.write_text(json.dumps(dataclasses.asdict(note)) + "\n", "utf-8")
            os.replace(temporary, self._note)

    def discard(self) -> None:
        """Remove the part and its note."""
        for path in (self._note, self.path):
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            self.path.parent.rmdir()
