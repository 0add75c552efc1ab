"""Fetch in child processes and kill -9 them after random times; run as a script, in a process without threads.

Where the longest time is 0, it is what one whole fetch takes here and now. Prints one JSON object: how many children
were killed, how many had finished, and the digests that the final name had after each of them (null where it was not
there).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from caffezoo.weights.cache import Cache
from caffezoo.weights.fetch import fetch_network
from caffezoo.weights.options import FetchOptions

from . import tiny_network


def child(folder: Path, url: str, sha256: str) -> None:
    entry = tiny_network.large_entry(folder, {"scheme": "https", "url": url, "sha256": sha256})
    fetch_network(entry, cache=Cache(folder / "cache"), options=FetchOptions(attempts=1, timeout_s=10))


def main(folder: Path, url: str, sha256: str, kills: int, longest_s: float, seed: int) -> None:
    import requests  # noqa: F401  # once, for all children

    rng = random.Random(seed)
    target = Cache(folder / "cache").path("large", "large.caffemodel")
    if not longest_s:
        for _ in range(2):  # the first one imports
            begun = time.perf_counter()
            child(folder, url, sha256)
            longest_s = time.perf_counter() - begun
            target.unlink()
    killed, finished, seen = 0, 0, []
    while killed < kills and finished < kills:
        pid = os.fork()
        if pid == 0:
            try:
                child(folder, url, sha256)
            except BaseException:
                os._exit(1)
            os._exit(0)
        time.sleep(rng.uniform(0, longest_s))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed += os.WIFSIGNALED(status)
        finished += os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        seen.append(hashlib.sha256(target.read_bytes()).hexdigest() if target.exists() else None)
        if target.exists():
            target.unlink()
    child(folder, url, sha256)
    seen.append(hashlib.sha256(target.read_bytes()).hexdigest())
    print(json.dumps({"killed": killed, "finished": finished, "seen": seen}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
