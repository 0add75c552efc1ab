"""``caffezoo fetch``: get and verify weights."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from caffezoo.cli.networks import complete_network, index_option
from caffezoo.errors import UnknownNameError, UsageError, ZooError

if TYPE_CHECKING:
    from caffezoo.cli.fetch_display import Display
    from caffezoo.weights.cache import Cache
    from caffezoo.weights.options import FetchOptions
    from caffezoo.zoo.index import Index

Row = dict[str, Any]


def fetch(
    nets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NET...", help="Networks, patterns with * and ?, or `all`.", autocompletion=complete_network
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="KIND|N", help="Only sources of a scheme, or number N of `--list`.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Networks at the same time.")] = 1,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: CAFFEZOO_CACHE, else ~/.cache/caffezoo.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Open no socket: the cache and this machine only.")
    ] = False,
    from_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Verify and adopt a file that you have got; one network.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Hash cached files again.")] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Compare no sizes and hashes; recorded with the file.")
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show all sources and their states; asks nobody.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="With --list: the table of docs/weights.md.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be asked, in which order.")] = False,
    progress: Annotated[
        Literal["bar", "json", "none"], typer.Option(help="json: events on standard output, one a line.")
    ] = "bar",
    attempts: Annotated[int, typer.Option(min=1, max=100, help="Tries of a source that is busy or breaks off.")] = 3,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="S", help="Give a server up after S seconds without a byte.")
    ] = 30.0,
    cookies: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="cookies.txt of a browser that is signed in to Google: for a file whose quota is used up.",
        ),
    ] = None,
    index: index_option = None,
) -> None:
    """Get networks' weights into the cache, verified, and say where each came from.

    Sources are asked in the index's order, those reported dead last; weights of another framework are converted.
    What breaks off goes on where it stopped, also in a later call. One network's failure does not stop the others; the
    exit status is then 1.

    Examples:

    `caffezoo fetch efficientnet-lite0 open-nsfw`

    `caffezoo fetch 'dpn-*' --dry-run`

    `caffezoo fetch dpn-92 --from-file ~/Downloads/dpn92.caffemodel`
    """
    from caffezoo.zoo.index import load_index

    if verify and no_verify:
        raise UsageError("--verify and --no-verify exclude each other")
    if as_markdown and not listing:
        raise UsageError("--markdown goes with --list")
    if not nets and not listing:
        raise UsageError("which networks? name some, or say `all`", hint="`caffezoo fetch --list` shows all sources")
    zoo = load_index(index)
    names = _names(zoo, nets or ["all"])
    if listing:
        _list(zoo, names, as_markdown)
        return
    if from_file is not None and len(names) != 1:
        raise UsageError(f"--from-file takes one network, not {len(names)}")
    from caffezoo.weights.cache import Cache
    from caffezoo.weights.options import FetchOptions

    if cookies is not None:
        from caffezoo.weights.gdrive import read_cookies

        read_cookies(cookies)  # what cannot be used is said before anything is asked
    options = FetchOptions(source, offline, from_file, verify, not no_verify, attempts, timeout, cookies)
    if dry_run:
        from caffezoo.cli.weights_list import print_plan

        print_plan([zoo.network(name) for name in names], options)
        return
    if no_verify:
        print("caffezoo: warning: --no-verify: sizes and hashes are not compared", file=sys.stderr)
    if not _fetch_all(zoo, names, Cache(cache), options, progress, jobs):
        raise typer.Exit(1)


def _names(zoo: Index, nets: list[str]) -> list[str]:
    names: list[str] = []
    for net in nets:
        found = zoo.names() if net == "all" else zoo.names(net)
        if not found and any(c in net for c in "*?["):
            raise UnknownNameError("network", net, zoo.spellings)
        names += found or [zoo.resolve(net)]
    return list(dict.fromkeys(names))


def _list(zoo: Index, names: list[str], as_markdown: bool) -> None:
    from caffezoo.cli.weights_list import markdown, print_sources

    entries = [zoo.network(name) for name in names]
    if as_markdown:
        print(markdown(entries), end="")
    else:
        print_sources(entries)


def _fetch_all(zoo: Index, names: list[str], cache: Cache, options: FetchOptions, progress: str, jobs: int) -> bool:
    """Fetch, show and sum up; whether all went well."""
    from caffezoo.cli.fetch_display import DISPLAYS, Display, print_summary

    rows: dict[str, Row] = {}
    plain = not (options.verify or options.source or options.from_file)
    for name in names if plain else ():
        row = _stamped_row(zoo, name, cache)
        if row is not None:
            rows[name] = row
    left = [name for name in names if name not in rows]
    # The drawing library is imported only where there is something to draw.
    display = DISPLAYS[progress]() if left or progress == "json" else Display()
    with display:
        for row in rows.values():
            display.done(row)

        def work(name: str) -> Row:
            row = _fetch_one(zoo, name, cache, options, display)
            display.done(row)
            return row

        if jobs == 1 or len(left) < 2:
            rows |= {name: work(name) for name in left}
        else:
            rows |= _in_threads(work, left, jobs, options)
    ordered = [rows[name] for name in names]
    if progress != "json":
        print_summary(ordered, str(cache.root))
    for row in ordered:
        for line in row.get("errors", ()):
            print(line, file=sys.stderr)
    return all(row["state"] != "failed" for row in ordered)


def _in_threads(work: Any, names: list[str], jobs: int, options: FetchOptions) -> dict[str, Row]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return dict(zip(names, pool.map(work, names), strict=True))
        except BaseException:
            options.cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _stamped_row(zoo: Index, name: str, cache: Cache) -> Row | None:
    """Return the row of a network whose cached file is known to be right, without building its entry."""
    from caffezoo.cli.fetch_display import done_row
    from caffezoo.weights.stamp import stamp_of, stamped

    begun = time.perf_counter()
    try:
        found = stamped(cache, name, stamp_of(name, zoo.record(name), _prototxt(zoo, name)))
    except (OSError, ZooError):
        return None
    if found is None or found.check == "skipped":
        return None
    return done_row(name, found, "cached", time.perf_counter() - begun)


def _fetch_one(zoo: Index, name: str, cache: Cache, options: FetchOptions, display: Display) -> Row:
    from caffezoo.cli.fetch_display import done_row
    from caffezoo.weights.failures import NoSourceError, kind_of
    from caffezoo.weights.fetch import fetch_weights
    from caffezoo.weights.stamp import stamp_of

    begun = time.perf_counter()
    try:
        result = fetch_weights(zoo.network(name), cache=cache, progress=display, options=options)
    except UsageError:
        raise
    except ZooError as error:
        failures = error.failures if isinstance(error, NoSourceError) else ()
        headline = error.headline if isinstance(error, NoSourceError) else str(error)
        lines = [f"caffezoo: error: {headline}", *(f"  {_label(f.number)}{f}" for f in failures)]
        if isinstance(error, NoSourceError) and error.hint:
            lines.append(f"  what to do: {error.hint}")
        seconds = round(time.perf_counter() - begun, 3)
        told = [vars(failure) for failure in failures]
        kind = "no-source" if isinstance(error, NoSourceError) else kind_of(error)
        return {
            "network": name,
            "state": "failed",
            "kind": kind,
            "reason": str(error),
            "seconds": seconds,
            "failures": told,
            "errors": lines,
        }
    with suppress(OSError):  # without a stamp the next call looks closer
        cache.stamp(result.file, stamp_of(name, zoo.record(name), _prototxt(zoo, name)))
    row = done_row(name, result.file, result.state, result.seconds)
    if result.failures:
        row["failures"] = [vars(failure) for failure in result.failures]
        row["errors"] = [f"caffezoo: note: {name}: {_label(f.number)}{f}" for f in result.failures]
    return row


def _label(number: int) -> str:
    return f"source {number}: " if number else ""


def _prototxt(zoo: Index, name: str) -> Path:
    from caffezoo.zoo.resources import data_path

    return data_path(os.fspath(zoo.record(name)["prototxt"]), wanted_by=f"network '{name}'")
