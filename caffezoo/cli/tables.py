"""``caffezoo tables``: the tables of README and docs/tables, made from the index, the prototxts and the results."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.cli.progress import COUNTING, counter
from caffezoo.cli.results import FolderOption, IndexOption, open_store, warn_of_faults
from caffezoo.errors import DataError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from caffezoo.report.sections import Section


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
        str | None, typer.Option("--format", metavar="markdown|csv|latex|html", help="Print instead of filling files.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a file a table there (Markdown without --format).")
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            "--readme",
            metavar="FILE",
            help="A Markdown file to fill; repeatable. Default: README.md and the pages of docs/ that have sections.",
        ),
    ] = None,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Fill the sections between `<!-- table:NAME -->` and `<!-- /table -->` of README and docs/tables, or write tables
    elsewhere.

    Tables: original-errors, original-cost, accuracy, cost, preprocessing, time, lite, applications, measured,
    precision, speed, speed-all, speed-precision. Published figures name their source, measured ones are in italics,
    `..` stands where nothing is known.

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
    if not filling and (check or file):
        raise UsageError(f"{'--check' if check else '--file'} is about filling", hint="leave --format and --output")
    store = open_store(folder)
    warn_of_faults(store)
    data = ZooData(load_index(index), store, counter(COUNTING))
    names = list(dict.fromkeys(table or TABLES))
    ending, write = FORMATS[form or "markdown"]

    @cache
    def content(name: str) -> str:
        return write(make_table(name, data))

    if filling:
        _fill(file or _own_files(), table, content, check)
    elif output is not None:
        for name in names:
            _save(output / f"{name}.{ending}", content(name))
            print(f"wrote {output / f'{name}.{ending}'}")
    else:
        print("\n".join(content(name) for name in names), end="")


def _fill(files: Sequence[Path], wanted: list[str] | None, content: Callable[[str], str], check: bool) -> None:
    from caffezoo.report.sections import fill_sections, stale_sections

    texts = {file: _read(file) for file in files}
    sections = _sections(texts, wanted)
    changed = count = 0
    for file, found in sections.items():
        stale = stale_sections(found, content)
        count, changed = count + len(found), changed + len(stale)
        for section in stale:
            print(f"{file}:{section.first}: table '{section.name}' {'is stale' if check else 'made anew'}")
        if stale and not check:
            _save(file, fill_sections(texts[file], stale, content))
    if check:
        print(f"{count - changed} tables as generated, {changed} not")
        raise typer.Exit(1 if changed else 0)
    print(f"{changed} of {count} tables changed")


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(file), hint="--file names another") from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text", where=str(file)) from None


def _sections(texts: Mapping[Path, str], wanted: Sequence[str] | None) -> dict[Path, list[Section]]:
    """Return the wanted sections of every file.

    Raises
    ------
    DataError
        A wanted table, or any table at all, has no section in these files.
    """
    from caffezoo.report.sections import find_sections
    from caffezoo.report.tables import TABLES

    found = {file: find_sections(text, TABLES, str(file)) for file, text in texts.items()}
    names = {section.name for sections in found.values() for section in sections}
    absent = [name for name in wanted or () if name not in names]
    if absent or not names:
        where = ", ".join(str(file) for file in texts)
        marker = f"<!-- table:{absent[0] if absent else 'NAME'} -->"
        raise DataError(f"has no section {marker}", where=where, hint="a line <!-- /table --> ends a section")
    return {file: [s for s in sections if not wanted or s.name in wanted] for file, sections in found.items()}


def _own_files() -> list[Path]:
    """README.md and the pages with sections of the checkout that this package runs from.

    Raises
    ------
    UsageError
        The package is installed: it has no files to fill.
    """
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / "setup.cfg").is_file():
        raise UsageError("caffezoo is installed, not a checkout", hint="name a file: --file FILE")
    pages = sorted((root / "docs").rglob("*.md"))
    marked = re.compile(r"^<!-- table:\S+ -->$", re.MULTILINE)
    return [root / "README.md", *(page for page in pages if marked.search(page.read_text("utf-8")))]


def _save(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", where=str(file)) from None
