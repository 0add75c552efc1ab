"""``caffezoo report``: the page to choose a network by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli.progress import COUNTING, counter
from caffezoo.cli.results import FolderOption, IndexOption, open_store, warn_of_faults


def report(
    html: Annotated[Path, typer.Option("--html", metavar="DIR", help="Folder of the page; created if need be.")],
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes that read and draw networks. Default: one a CPU.")
    ] = None,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Write a page to choose a network by; open DIR/index.html in any browser, no server is needed.

    A table and a chart of all networks, a page for each, and a comparison. Needs `pip install 'caffezoo[report]'`.

    Example: `caffezoo report --html report`
    """
    from caffezoo.report.details import LayerRow
    from caffezoo.report.page import write_report
    from caffezoo.report.zoo_data import ZooData
    from caffezoo.zoo.index import load_index

    store = open_store(folder)
    warn_of_faults(store, LayerRow)
    data = ZooData(load_index(index), store, counter(COUNTING))
    written = write_report(data, html, jobs or os.cpu_count() or 1, counter("reading and drawing networks"))
    print(f"wrote {written.index}: {written.networks} networks, {written.bytes / 2**20:.1f} MiB")
