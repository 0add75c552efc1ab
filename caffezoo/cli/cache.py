"""``caffezoo cache``: what was fetched, whether it is still whole, and how to be rid of it."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.errors import FetchError, UsageError

cache = typer.Typer(
    no_args_is_help=True,
    help="""Look at, verify and prune the cache of fetched files.

    Examples:

    `caffezoo cache list 'efficientnet-*'`

    `caffezoo cache verify`
    """,
)
_cache_option = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="Default: CAFFEZOO_CACHE, else ~/.cache/caffezoo.")
]
_patterns = Annotated[list[str] | None, typer.Argument(metavar="[NET...]", help="Networks, with * and ?.")]


@cache.command("list")
def list_files(
    nets: _patterns = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    root: _cache_option = None,
) -> None:
    """List cached files: size, day, what stood against them (published, pinned, first, skipped), hash, source."""
    from caffezoo.cli.text_table import print_table
    from caffezoo.weights.cache import Cache
    from caffezoo.weights.inventory import cached_files, foreign_files

    store = Cache(root)
    found = [f for f in cached_files(store) if _is_meant(f.path.parent.name, nets)]
    if as_json:
        rows = [
            {
                "network": f.path.parent.name,
                "path": str(f.path),
                "bytes": f.bytes,
                "sha256": f.sha256,
                "check": f.check,
                "converted": bool(f.recipe),
                "source": f.source,
                "fetched_at": f.fetched_at,
            }
            for f in found
        ]
        print(json.dumps(rows, indent=1))
        return
    cells: list[tuple[str, ...]] = []
    for f in found:
        name = f.path.stem if f.path.parent.parent.name == "weights" else f"{f.path.parent.name}/{f.path.name}"
        how = "converted from " if f.recipe and f.path.suffix == ".caffemodel" else ""
        cells.append((name, f"{f.bytes:,}", f.fetched_at[:10], f.check, f.sha256[:16], how + f.source))
    for path in foreign_files(store):
        if _is_meant(path.parent.name, nets):
            size = f"{path.stat().st_size:,}"
            cells.append((path.stem, size, "-", "-", "-", f"not as it was put there: {path}"))
    if cells:
        print_table(("file", "bytes", "fetched", "check", "sha256", "source"), cells, right=("bytes",))
    print(f"{len(found)} file{'' if len(found) == 1 else 's'}, {sum(f.bytes for f in found):,} bytes in {store.root}")


@cache.command()
def verify(nets: _patterns = None, root: _cache_option = None) -> None:
    """Hash cached files again; exit status 1 if one has changed."""
    from caffezoo.weights.cache import Cache
    from caffezoo.weights.inventory import cached_files, check_file, foreign_files

    store = Cache(root)
    bad = 0
    for found in cached_files(store):
        if _is_meant(found.path.parent.name, nets):
            wrong = check_file(found)
            bad += bool(wrong)
            unchecked = "" if found.check != "skipped" else " (taken with --no-verify)"
            print(f"{'wrong' if wrong else 'good'}  {found.path}{unchecked}" + (f": {wrong}" if wrong else ""))
    for path in foreign_files(store):
        if _is_meant(path.parent.name, nets):
            bad += 1
            print(f"wrong  {path}: not as it was put there")
    if bad:
        raise typer.Exit(1)


@cache.command()
def prune(
    nets: _patterns = None,
    files: Annotated[bool, typer.Option("--files", help="Remove whole files too.")] = False,
    pins: Annotated[bool, typer.Option("--pins", help="Forget the hashes that were first seen.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Files, parts and pins of every network.")] = False,
    root: _cache_option = None,
) -> None:
    """Remove what unfinished fetches left behind; with --files whole files too.

    What another process is fetching is left alone. `--files` and `--pins` need networks, or `--all`.
    """
    from caffezoo.weights.cache import Cache
    from caffezoo.weights.inventory import prune as remove

    if (files or pins) and not nets and not everything:
        raise UsageError("--files and --pins need networks, or --all")
    if everything and nets:
        raise UsageError("--all and networks exclude each other")
    store = Cache(root)
    freed = remove(store, lambda name: _is_meant(name, nets), files=files or everything, pins=pins or everything)
    print(f"{freed:,} bytes removed from {store.root}")


@cache.command()
def path(
    net: Annotated[str | None, typer.Argument(metavar="[NET]", help="A network of the zoo.")] = None,
    root: _cache_option = None,
) -> None:
    """Print the cache's folder, or where a network's caffemodel lies."""
    from caffezoo.weights.cache import Cache

    store = Cache(root)
    if net is None:
        print(store.root)
        return
    from caffezoo.zoo.index import load_index

    name = load_index().resolve(net)
    file = store.path(name, f"{name}.caffemodel")
    if store.lookup(file) is None:
        raise FetchError("not in the cache", where=name, hint=f"`caffezoo fetch {name}` gets it; it would be {file}")
    print(file)


@cache.command()
def size(root: _cache_option = None) -> None:
    """Print what each part of the cache takes, bytes."""
    from caffezoo.weights.cache import Cache
    from caffezoo.weights.inventory import usage

    store = Cache(root)
    found = usage(store)
    for part in found:
        print(f"{part.what:<10} {part.bytes:>16,}  {part.files} files")
    print(f"{'all':<10} {sum(part.bytes for part in found):>16,}  in {store.root}")


def _is_meant(name: str, patterns: list[str] | None) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
