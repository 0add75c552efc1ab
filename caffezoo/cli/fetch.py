"""``caffezoo fetch``: get and verify weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli.networks import index_option
from caffezoo.errors import FetchError


def fetch(
    nets: Annotated[list[str], typer.Argument(metavar="NET...", help="Networks of the zoo.")],
    index: index_option = None,
) -> None:
    """Get networks' weights into the cache, verified, and print where they lie.

    Weights of another framework are converted into a caffemodel. The cache is `~/.cache/caffezoo`, or
    `CAFFEZOO_CACHE`. One network's failure does not stop the others; the exit status is then 1.

    Examples:

    `caffezoo fetch efficientnet-lite0 open-nsfw`
    """
    from caffezoo.cli.progress import fetch_with_progress
    from caffezoo.zoo.index import load_index

    zoo = load_index(index)
    entries = [zoo.network(net) for net in nets]
    failed = 0
    for entry in entries:
        try:
            path: Path = fetch_with_progress(entry)
            print(f"{entry.name}  {path}  {path.stat().st_size:,} bytes")
        except FetchError as error:
            failed += 1
            print(f"caffezoo: error: {error}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
