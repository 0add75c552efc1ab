"""``caffezoo prototxt``: write the deploy prototxts from their generators, or check that they are as generated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caffezoo.errors import UsageError


def prototxt(
    patterns: Annotated[
        list[str] | None, typer.Argument(metavar="PATTERN", help="Networks, as shell patterns; all if none.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; name what differs, is missing or stray, and exit 1.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder that holds prototxt/, instead of the checkout."),
    ] = None,
) -> None:
    """Write the deploy prototxts from their generators.

    Examples:

    `caffezoo prototxt --check`

    `caffezoo prototxt 'dpn-*' --output /tmp/nets`
    """
    from caffezoo.zoo.deploy_files import compare, select, stray_files, write

    root = output if output is not None else _checkout()
    wanted = select(patterns or ())
    if check:
        found = compare(root, wanted, stray=not patterns)
        for fault, paths in (("differs", found.differing), ("is missing", found.missing), ("is stray", found.stray)):
            for path in paths:
                print(f"{path}: {fault}")
        print(f"{found.same} as generated, {found.faults} not")
        raise typer.Exit(1 if found.faults else 0)
    written = write(root, wanted)
    for path in written:
        print(f"wrote {path}")
    for path in [] if patterns else stray_files(root):
        print(f"{path}: no generator writes this file")
    print(f"{len(written)} written, {len(wanted) - len(written)} unchanged")


def _checkout() -> Path:
    """The root of the checkout that this package runs from.

    Raises
    ------
    UsageError
        The package is installed: its prototxts are part of the installation and stay as they are.
    """
    package = Path(__file__).resolve().parent.parent
    if not (package.parent / "setup.cfg").is_file():
        raise UsageError(
            "caffezoo is installed, not a checkout", where=str(package), hint="name a folder: --output DIR"
        )
    return package.parent
