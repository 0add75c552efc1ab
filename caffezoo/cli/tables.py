"""``caffezoo tables``: the tables of the README, made from the index, the prototxts and the results."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli.progress import COUNTING, counter
from caffezoo.cli.results import FolderOption, IndexOption, open_store, warn_of_faults
from caffezoo.errors import DataError, UnknownNameError, UsageError


def _complete_table(incomplete: str) -> list[str]:
    from caffezoo.report.tables import TABLES

    return [name for name in TABLES if name.startswith(incomplete)]


def tables(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; name stale sections and exit 1.")] = False,
    table: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="NAME", help="Only this one; repeatable.", autocompletion=_complete_table),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="markdown|csv|latex|html", help="Print instead of filling README.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a file a table there (Markdown without --format).")
    ] = None,
    readme: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to fill. Default: README.md of the checkout.")
    ] = None,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Fill the README's sections between `<!-- table:NAME -->` and `<!-- /table -->`, or write tables elsewhere.

    Tables: accuracy, cost, preprocessing, time, lite, applications, measured, precision. Published figures name their
    source, measured ones are in italics, `..` stands where nothing is known.

    Examples:

    `caffezoo tables --check`

    `caffezoo tables --table accuracy --format latex`

    `caffezoo tables --format html --output out/`
    """
    from caffezoo.report.table import FORMATS
    from caffezoo.report.tables import TABLES, make_table
    from caffezoo.report.zoo_data import ZooData
    from caffezoo.zoo.index import load_index

    if form is not None and form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    for name in table or ():
        if name not in TABLES:
            raise UnknownNameError("table", name, TABLES)
    filling = form is None and output is None
    if not filling and (check or readme is not None):
        raise UsageError(
            f"{'--check' if check else '--readme'} is about the README", hint="leave --format and --output"
        )
    store = open_store(folder)
    warn_of_faults(store)
    data = ZooData(load_index(index), store, counter(COUNTING))
    names = list(dict.fromkeys(table or TABLES))
    ending, write = FORMATS[form or "markdown"]

    @cache
    def content(name: str) -> str:
        return write(make_table(name, data))

    if filling:
        _fill(readme if readme is not None else _readme(), table, content, check)
    elif output is not None:
        for name in names:
            _save(output / f"{name}.{ending}", content(name))
            print(f"wrote {output / f'{name}.{ending}'}")
    else:
        print("\n".join(content(name) for name in names), end="")


def _fill(file: Path, wanted: list[str] | None, content: Callable[[str], str], check: bool) -> None:
    from caffezoo.report.sections import fill_sections, find_sections, stale_sections
    from caffezoo.report.tables import TABLES

    try:
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(file), hint="--readme names another") from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text", where=str(file)) from None
    sections = find_sections(text, TABLES, str(file))
    if wanted:
        sections = [section for section in sections if section.name in wanted]
    absent = [name for name in wanted or () if name not in {section.name for section in sections}]
    if absent or not sections:
        marker = f"<!-- table:{absent[0] if absent else 'NAME'} -->"
        raise DataError(f"has no section {marker}", where=str(file), hint="a line <!-- /table --> ends a section")
    stale = stale_sections(sections, content)
    for section in stale:
        print(f"{file}:{section.first}: table '{section.name}' {'is stale' if check else 'made anew'}")
    if check:
        print(f"{len(sections) - len(stale)} tables as generated, {len(stale)} not")
        raise typer.Exit(1 if stale else 0)
    if stale:
        _save(file, fill_sections(text, stale, content))
    print(f"{len(stale)} of {len(sections)} tables changed")


def _readme() -> Path:
    """README.md of the checkout that this package runs from.

    Raises
    ------
    UsageError
        The package is installed: it has no README to fill.
    """
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / "setup.cfg").is_file():
        raise UsageError("caffezoo is installed, not a checkout", hint="name a file: --readme FILE")
    return root / "README.md"


def _save(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", where=str(file)) from None
