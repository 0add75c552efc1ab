"""Progress of long work, on standard error: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from caffezoo.cli.console import make_console, shown, text_column

if TYPE_CHECKING:
    from pathlib import Path

    from caffezoo.zoo.entry import NetworkEntry

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 60.0
COUNTING = "counting the costs of prototxts, once"
Advance = Callable[[float, str], None]
"""Takes what is done, of the total, and a text about it."""


@contextmanager
def progress(total: int, *, unit: str = "", every_item: bool = False) -> Iterator[Advance]:
    """Show how far long work is.

    Parameters
    ----------
    total : int
    unit : str, optional
        Stands before the bar.
    every_item : bool, optional
        Without a terminal print a line an item, where there are several, instead of one a minute.

    Yields
    ------
    callable
        ``advance(done, text)``; ``done`` may be a fraction.
    """
    console = make_console(stderr=True)
    if not console.is_terminal:
        yield _lines(total, every_item)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (text_column("{task.description}"), BarColumn(), MofNCompleteColumn(), text_column("{task.fields[what]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(unit, total=float(total), what="")
        yield lambda done, text: bar.update(task, completed=done, what=shown(text))


def _lines(total: int, every_item: bool) -> Advance:
    last_item, last_time = -1, time.perf_counter()

    def line(done: float, text: str) -> None:
        nonlocal last_item, last_time
        now = time.perf_counter()
        if every_item:
            due = int(done) != last_item and total > 1 and int(done) < total
        else:
            due = now - last_time >= SECONDS_BETWEEN_LINES
        if due:
            last_item, last_time = int(done), now
            number = int(done) + every_item
            print(f"{number}/{total} {shown(text)}", file=sys.stderr, flush=True)

    return line


def track(items: Iterable[T], title: str, key: Callable[[T], str]) -> Iterator[T]:
    """Yield items behind a bar that names the one in work; silent where standard error is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress

    todo = list(items)
    console = make_console(stderr=True)
    columns = (text_column(title), BarColumn(), MofNCompleteColumn(), text_column("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(todo))
        for item in todo:
            bar.update(task, description=shown(key(item)))
            yield item
            bar.advance(task)


def counter(what: str) -> Callable[[int, int], None]:
    """Return a function that shows ``what: done of total`` on a terminal, in one line that goes away at the end.

    For work that must not pay for importing rich.
    """

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            end = "\r\033[K" if done >= total else ""
            print(f"\r{what}: {done} of {total}{end}", end="", file=sys.stderr, flush=True)

    return show


def fetch_with_progress(entry: NetworkEntry) -> Path:
    """Return a network's caffemodel, fetched with a bar if it is not in the cache.

    Raises
    ------
    FetchError
        No source delivered it.
    """
    from caffezoo.cli.fetch_display import BarDisplay
    from caffezoo.weights.fetch import fetch_network

    with BarDisplay() as display:
        return fetch_network(entry, progress=display)
