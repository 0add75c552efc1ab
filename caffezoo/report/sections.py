"""Generated sections of a Markdown file: what stands between ``<!-- table:NAME -->`` and ``<!-- /table -->``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from caffezoo.errors import FormatError, UnknownNameError

BEGIN = re.compile(r"\s*<!--\s*table:(?P<name>[\w.-]*)\s*-->\s*")
END = re.compile(r"\s*<!--\s*/table\s*-->\s*")
MENTION = re.compile(r"<!--\s*/?table\b")


@dataclass(frozen=True)
class Section:
    """A section: its table, the lines of its markers (counted from 1), and the text between them."""

    name: str
    first: int
    last: int
    text: str


def find_sections(text: str, known: Collection[str], where: str) -> list[Section]:
    """Return the sections of a file.

    Raises
    ------
    FormatError
        A marker without its other half, or one that is not alone on its line.
    UnknownNameError
        No such table.
    """
    sections: list[Section] = []
    opened: tuple[str, int] | None = None
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        place = f"{where}:{number}"
        if begin := BEGIN.fullmatch(line):
            if opened:
                raise FormatError(f"a table begins inside table '{opened[0]}' of line {opened[1]}", where=place)
            if begin["name"] not in known:
                raise UnknownNameError("table", begin["name"], known, where=place)
            opened = begin["name"], number
        elif END.fullmatch(line):
            if not opened:
                raise FormatError("the end of a table that has not begun", where=place)
            name, first = opened
            sections.append(Section(name, first, number, "\n".join(lines[first : number - 1])))
            opened = None
        elif MENTION.search(line):
            raise FormatError("a table's marker must be alone on its line", where=place)
    if opened:
        raise FormatError(
            f"table '{opened[0]}' has no end", where=f"{where}:{opened[1]}", hint="<!-- /table --> ends it"
        )
    return sections


def fill_sections(text: str, sections: Collection[Section], content: Callable[[str], str]) -> str:
    """Return the text with the content of each section made anew, and nothing else changed.

    Parameters
    ----------
    content : callable
        Gives the Markdown of a table by name.
    """
    lines = text.split("\n")
    for section in sorted(sections, key=lambda s: s.first, reverse=True):
        lines[section.first : section.last - 1] = ["", *content(section.name).strip("\n").split("\n"), ""]
    return "\n".join(lines)


def stale_sections(sections: Collection[Section], content: Callable[[str], str]) -> list[Section]:
    """Return the sections whose text is not what it would be made."""
    return [s for s in sections if s.text.strip("\n") != content(s.name).strip("\n")]
