"""The prefix of a line that Caffe logs through glog: ``I1122 12:30:05.123456  4711 net.cpp:51] text``."""

from __future__ import annotations

import re
from datetime import UTC, datetime

PREFIX = re.compile(r"^(?P<level>[IWEF])(?P<day>\d{8}|\d{4}) (?P<time>[\d:]+)(?:\.\d+)?\s+\d+ \S+:\d+\] ?(?P<text>.*)$")
"""Newer versions of glog write the year (``I20261122``), older ones do not (``I1122``)."""

_CREATED = re.compile(r"^Log file created at: (?P<year>\d{4})/", re.MULTILINE)


def logged(text: str, now: datetime, process: int, place: str, level: str = "I") -> str:
    """Return a line as glog writes it (the form without the year).

    Parameters
    ----------
    text : str
    now : datetime
    process : int
    place : str
        ``file:line``.
    level : {"I", "W", "E", "F"}
    """
    return f"{level}{now:%m%d %H:%M:%S.%f} {process:5d} {place}] {text}"


def moment(match: re.Match[str], log: str, written: datetime) -> datetime:
    """Return when a line was logged.

    Parameters
    ----------
    match : re.Match
        Of ``PREFIX``.
    log : str
        The whole log: the head of a log file holds the year.
    written : datetime
        When the log was written, for the year where nothing in it says so.

    Returns
    -------
    datetime
        glog writes local time and names no zone: it is taken for UTC. ``written`` if the prefix holds no date.
    """
    day = match["day"]
    if len(day) == 4:
        head = _CREATED.search(log)
        day = f"{head['year'] if head else written.year}{day}"
    try:
        return datetime.strptime(f"{day} {match['time']}", "%Y%m%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return written
