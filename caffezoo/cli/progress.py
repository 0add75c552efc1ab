"""Progress of long work, on standard error: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from caffezoo.weights.fetch import FetchProgress
    from caffezoo.zoo.entry import NetworkEntry

T = TypeVar("T")
STAGES = {"archive": "getting the archive", "file": "getting the weights", "convert": "converting"}


def track(items: Iterable[T], title: str, key: Callable[[T], str]) -> Iterator[T]:
    """Yield items behind a bar that names the one in work; silent where standard error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    todo = list(items)
    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(todo))
        for item in todo:
            bar.update(task, description=key(item))
            yield item
            bar.advance(task)


def fetch_with_progress(entry: NetworkEntry) -> Path:
    """Return a network's caffemodel, fetched with a bar if it is not in the cache.

    Raises
    ------
    FetchError
        No source delivered it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    from caffezoo.weights.fetch import fetch_network

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def report(state: FetchProgress) -> None:
            if state.stage not in tasks:
                text = f"{state.name}: {STAGES[state.stage]}"
                tasks[state.stage] = bar.add_task(text, total=state.total_bytes)
                if not console.is_terminal:
                    print(f"{text} ({state.place})", file=sys.stderr)
            bar.update(tasks[state.stage], completed=state.done_bytes, total=state.total_bytes)

        return fetch_network(entry, progress=report)
