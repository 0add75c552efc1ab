"""``caffezoo engines``: which runtimes there are, and which of them run here."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def engines(
    caffe_python: Annotated[
        str | None, typer.Option("--caffe-python", metavar="PYTHON", help="Python that has pycaffe (or CAFFE_PYTHON).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List the engines with their versions, devices and precisions; the first is the default.

    Examples:

    `caffezoo engines`

    `caffezoo engines --caffe-python ~/caffe-venv/bin/python`
    """
    from caffezoo.engines.registry import engine_infos

    infos = engine_infos(caffe_python)
    if as_json:
        print(json.dumps([asdict(info) for info in infos], indent=2))
        return
    from caffezoo.cli.text_table import print_table

    rows: list[list[str | tuple[str, ...]]] = []
    for info in infos:
        if info.available:
            rows.append([info.name, info.version, ", ".join(info.precisions), info.devices])
        else:
            rows.append([info.name, "not here", "", info.problem])
    print_table(("engine", "version", "precisions", "device"), rows)
