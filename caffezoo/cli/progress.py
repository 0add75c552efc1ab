"""Progress of long work, on standard error: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from caffezoo.zoo.entry import NetworkEntry

T = TypeVar("T")


def track(items: Iterable[T], title: str, key: Callable[[T], str]) -> Iterator[T]:
    """Yield items behind a bar that names the one in work; silent where standard error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    todo = list(items)
    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
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
    from caffezoo.cli.fetch_display import BarDisplay
    from caffezoo.weights.fetch import fetch_network

    with BarDisplay() as display:
        return fetch_network(entry, progress=display)
