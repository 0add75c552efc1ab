"""Runners that take turns within one process, so that a slow minute of the machine hits them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

REST_S = 0.2
"""Pause between runners: threads of the last one stop spinning."""


def in_turns(
    runners: Mapping[str, Callable[[], float]], rounds: int, *, calls: int, warm_up: int
) -> dict[str, list[float]]:
    """Return the seconds that each runner gives, ``calls`` a round; in each it is called ``warm_up`` times before."""
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            time.sleep(REST_S)
            for _ in range(warm_up):
                run()
            seconds[name] += [run() for _ in range(calls)]
    return seconds
