"""The most memory that a piece of work takes in this process, where Linux tells."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from caffezoo.engines.freed_memory import give_back_memory

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class MemoryPeak:
    """Growth of the process' resident memory from the making of this object to its highest point.

    It holds what the interpreter, the runtime and the network take beyond what was there; memory that an earlier
    network left to the allocator is given back to the system first, where the C library can.
    """

    def __init__(self) -> None:
        give_back_memory()
        self._start: int | None = None
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")  # sets the high-water mark to what is resident now
            self._start = _kilobytes("VmRSS")

    @property
    def bytes(self) -> int | None:
        """The growth until now, None where the system does not tell."""
        peak = None if self._start is None else _kilobytes("VmHWM")
        return None if peak is None or self._start is None else max(1, peak - self._start) * 1024


def _kilobytes(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) if found else None
