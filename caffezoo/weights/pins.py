"""The first hash that a place without a published one delivered, kept: another one later is not taken in silence.

``<root>/pins/<network>/pins.json`` maps places to :class:`Pin`. Pins outlive the files they were taken of.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from caffezoo.weights.cache import Cache, cache_writes

PINS_ROOM = "pins"


@dataclass(frozen=True)
class Pin:
    """What a place delivered when it was first asked.

    Attributes
    ----------
    sha256 : str
    bytes : int
    pinned_at : str
        UTC, ISO 8601.
    """

    sha256: str
    bytes: int
    pinned_at: str


class Pins:
    """The pins of one network; whoever uses them holds the lock of its file."""

    def __init__(self, cache: Cache, group: str) -> None:
        self.path: Path = cache.path(group, "pins.json", room=PINS_ROOM)

    def get(self, place: str) -> Pin | None:
        """Return what was pinned for a place."""
        return self._read().get(place)

    def set(self, place: str, sha256: str, size_bytes: int) -> None:
        """Pin what a place delivered.

        Raises
        ------
        CacheError
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        pins = {**self._read(), place: Pin(sha256, size_bytes, now)}
        with cache_writes(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            text = json.dumps({key: dataclasses.asdict(pin) for key, pin in pins.items()}, indent=1)
            temporary.write_text(text + "\n", "utf-8")
            os.replace(temporary, self.path)

    def _read(self) -> dict[str, Pin]:
        try:
            kept = json.loads(self.path.read_text("utf-8"))
            return {place: Pin(**pin) for place, pin in kept.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
