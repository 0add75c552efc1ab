"""What ``caffezoo fetch`` shows while it works and in the end."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

from caffezoo.cli.console import make_console, shown, text_column

if TYPE_CHECKING:
    from caffezoo.weights.cache import CachedFile
    from caffezoo.weights.events import FetchEvent, Stage

JSON_INTERVAL_S = 0.5
STAGES = {"archive": "getting the archive", "file": "getting the weights", "convert": "converting"}


class Display:
    """Takes events; shows nothing."""

    def __enter__(self) -> Display:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def __call__(self, event: FetchEvent) -> None:
        """Show an event; may be called from several threads."""

    def done(self, row: dict[str, Any]) -> None:
        """Show that a network is there, or failed."""


class JsonDisplay(Display):
    """One JSON object a line on standard output; ``docs/weights.md`` has the schema."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], float] = {}

    def __call__(self, event: FetchEvent) -> None:
        import time

        from caffezoo.weights.events import EVENT_NAMES, FetchProgress

        if isinstance(event, FetchProgress) and event.done_bytes != event.total_bytes:
            key, now = (event.name, event.stage), time.monotonic()
            if now - self._last.get(key, 0.0) < JSON_INTERVAL_S:
                return
            self._last[key] = now
        fields = {("network" if k == "name" else k): v for k, v in dataclasses.asdict(event).items()}
        self._print({"event": EVENT_NAMES[type(event)], **fields})

    def done(self, row: dict[str, Any]) -> None:
        self._print({"event": "failed" if row["state"] == "failed" else "done", **row})

    def _print(self, fields: dict[str, Any]) -> None:
        with self._lock:
            print(json.dumps(fields), flush=True)


class BarDisplay(Display):
    """Bars on a terminal; elsewhere a line for every stage, on standard error."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TransferSpeedColumn

        self._console = make_console(stderr=True)
        columns = (text_column("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bars = Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal, refresh_per_second=5
        )
        self._tasks: dict[tuple[str, Stage, str], TaskID] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> BarDisplay:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def __call__(self, event: FetchEvent) -> None:
        from caffezoo.weights.events import AttemptFailed, FetchProgress, SourceFailed, SourceOpened, Waiting

        if isinstance(event, FetchProgress):
            key = (event.name, event.stage, event.place)
            with self._lock:
                if key not in self._tasks:
                    text = f"{event.name}: {STAGES[event.stage]}"
                    self._tasks[key] = self._bars.add_task(text, total=event.total_bytes)
                    if not self._console.is_terminal:
                        self._say(f"{text} ({event.place})")
            self._bars.update(self._tasks[key], completed=event.done_bytes, total=event.total_bytes)
        elif isinstance(event, AttemptFailed):
            self._say(f"{event.name}: {event.reason}; attempt {event.attempt + 1} in {event.wait_s:.1f} s")
        elif isinstance(event, SourceOpened) and event.offset_bytes:
            self._say(f"{event.name}: goes on after {event.offset_bytes:,} bytes ({event.place})")
        elif isinstance(event, Waiting):
            self._say(f"{event.name}: process {event.owner} fetches it, waiting")
        elif isinstance(event, SourceFailed):
            with self._lock:
                for key in [k for k in self._tasks if k[0] == event.name]:
                    self._bars.remove_task(self._tasks.pop(key))

    def _say(self, text: str) -> None:
        print(shown(text), file=sys.stderr)


DISPLAYS: dict[str, type[Display]] = {"bar": BarDisplay, "json": JsonDisplay, "none": Display}


def done_row(name: str, file: CachedFile, state: str, seconds: float) -> dict[str, Any]:
    """Return what is told of a network that is there."""
    return {
        "network": name,
        "state": state,
        "source": file.source,
        "bytes": file.bytes,
        "seconds": round(seconds, 3),
        "sha256": file.sha256,
        "check": file.check,
        "converted": bool(file.recipe),
        "path": str(file.path),
    }


def print_summary(rows: list[dict[str, Any]], root: str) -> None:
    """Print the table: network, state, bytes, seconds, hash, what stood against it, source."""
    from caffezoo.cli.text_table import print_table

    cells = []
    for row in rows:
        if row["state"] == "failed":
            cells.append((row["network"], "failed", "-", f"{row['seconds']:.2f}", "-", "-", "-"))
        else:
            size, source = f"{row['bytes']:,}", row["source"] + (" (converted)" if row["converted"] else "")
            fields = (size, f"{row['seconds']:.2f}", row["sha256"][:16], row["check"], source)
            cells.append((row["network"], row["state"], *fields))
    print_table(("network", "state", "bytes", "s", "sha256", "check", "source"), cells, right=("bytes", "s"))
    print(f"in {root}")
