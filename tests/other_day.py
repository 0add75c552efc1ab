"""A pytest plugin (``-p tests.other_day``): the process believes to run on another day, on a machine of 3 cores.

Python's own clocks are moved, for all that is imported after it. C code that asks the kernel still gets the real time.
"""

from __future__ import annotations

import datetime
import os
import time

import pandas  # noqa: F401 (its C code must take the real types: with these it dies in Python 3.13)

SECONDS = 400 * 86_400 + 12_345

_time, _time_ns = time.time, time.time_ns


class Date(datetime.date):
    """A date of another day."""

    @classmethod
    def today(cls) -> Date:
        return cls.fromtimestamp(time.time())


class DateTime(datetime.datetime):
    """A time of another day."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> DateTime:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> DateTime:
        return cls.now(datetime.UTC).replace(tzinfo=None)


time.time = lambda: _time() + SECONDS
time.time_ns = lambda: _time_ns() + SECONDS * 10**9
datetime.date = Date  # type: ignore[misc]
datetime.datetime = DateTime  # type: ignore[misc]
os.cpu_count = lambda: 3
