"""How a fetch is to be done: the flags of ``caffezoo fetch`` as one value."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class FetchOptions:
    """How a fetch is to be done.

    Attributes
    ----------
    source : str or None
        Only sources of this scheme, or the source of this number in the index (from 1).
    offline : bool
        No socket is opened: the cache and files of this machine only.
    from_file : Path or None
        A file that the user has got; no source is asked.
    verify : bool
        Hash a cached file again; without it, its size and time of change are enough.
    check_hashes : bool
        Whether published and pinned sizes and hashes must hold. False is recorded with the file.
    attempts : int
        How often a source that is busy or breaks off is tried.
    timeout_s : float
        Without a byte, a server is given up; seconds.
    cookies : Path or None
        A browser's ``cookies.txt``, signed in to Google: for files of Google Drive whose quota is used up.
    lock_timeout_s : float
        How long another process that fetches the same file is waited for, seconds.
    cancelled : threading.Event
        Set by another thread to stop.
    """

    source: str | None = None
    offline: bool = False
    from_file: Path | None = None
    verify: bool = False
    check_hashes: bool = True
    attempts: int = 3
    timeout_s: float = 30.0
    cookies: Path | None = None
    lock_timeout_s: float = 3600.0
    cancelled: threading.Event = field(default_factory=threading.Event, compare=False)
