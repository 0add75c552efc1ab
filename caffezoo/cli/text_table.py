"""Tables on standard output: in a pipe a row is one line, on a terminal whatever is too wide wraps or goes below.

No cell is ever cut. Cells are plain text: nothing in a layer's or a device's name is read as markup, and what cannot be
printed is escaped. Drawn here and not by rich, which cuts cells where columns do not fit, wraps lines in pipes, and
costs a third of the time that ``caffezoo list`` may take.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence

from caffezoo.cli.console import shown

GAP = "  "
NARROWEST = 14
"""To how many columns of the terminal a column of text is narrowed before columns go below their row."""
BELOW = " " * 4

Cell = str | Sequence[str]
"""A text, or texts of which each begins a line."""


def print_table(titles: Sequence[str], rows: Iterable[Sequence[Cell]], right: Collection[str] = ()) -> None:
    """Print a table to standard output.

    Parameters
    ----------
    titles : sequence of str
        One a column.
    rows : iterable of sequences
        A cell a column: a text, or several that stand below each other.
    right : collection of str
        Titles of the columns of numbers: ruled at the right, and never broken.
    """
    for line in table_lines(titles, rows, right, terminal_width()):
        print(line)


def terminal_width() -> int | None:
    """Return the width of the terminal that standard output is (``COLUMNS`` goes first); None if it is none."""
    if not sys.stdout.isatty():
        return None
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def table_lines(
    titles: Sequence[str], rows: Iterable[Sequence[Cell]], right: Collection[str] = (), width: int | None = None
) -> list[str]:
    """Return a table's lines: at most ``width`` wide if it is given and the longest number leaves room for it."""
    cells = [[[_printable(text) for text in _texts(cell, width)] for cell in row] for row in rows]
    heads = [[title] for title in titles]
    natural = [max(_columns(text) for line in (heads, *cells) for text in line[i]) for i in range(len(titles))]
    numbers = [title in right for title in titles]
    kept = len(titles)
    widths = natural
    if width is not None:
        least = [w if number else min(w, NARROWEST) for w, number in zip(natural, numbers, strict=True)]
        while kept > 1 and _total(least[:kept]) > width:
            kept -= 1
        widths = _narrowed(natural[:kept], least[:kept], width)
    lines = _row(heads, widths, numbers)
    for row in cells:
        lines += _row(row, widths, numbers)
        lines += _below(titles[kept:], row[kept:], width)
    return lines


def _texts(cell: Cell, width: int | None) -> Sequence[str]:
    if isinstance(cell, str):
        return [cell]
    return list(cell) or [""] if width is not None else ["; ".join(cell)]


def _printable(text: str) -> str:
    return shown(text).replace("\n", r"\n").replace("\t", r"\t")


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _narrowed(natural: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Take columns from the widest that may give some until the row fits."""
    widths = list(natural)
    while _total(widths) > width:
        i = max(range(len(widths)), key=lambda i: widths[i] if widths[i] > least[i] else -1)
        if widths[i] <= least[i]:
            # One column alone, wider than the terminal: its text folds, a number is left to the terminal.
            return [min(widths[0], width)] if len(widths) == 1 else widths
        widths[i] -= 1
    return widths


def _row(row: Sequence[Sequence[str]], widths: Sequence[int], numbers: Sequence[bool]) -> list[str]:
    folded = [
        [piece for text in texts for piece in fold(text, w)]
        for texts, w in zip(row[: len(widths)], widths, strict=True)
    ]
    lines = []
    for k in range(max(map(len, folded))):
        line = []
        for pieces, w, number in zip(folded, widths, numbers, strict=False):
            text = pieces[k] if k < len(pieces) else ""
            space = " " * (w - _columns(text))
            line.append(space + text if number else text + space)
        lines.append(GAP.join(line).rstrip())
    return lines


def _below(titles: Sequence[str], row: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return the cells for which the row had no room, each behind its title."""
    lines: list[str] = []
    room = (width or 0) - len(BELOW)
    for title, texts in zip(titles, row, strict=True):
        pieces = fold(f"{title} {', '.join(texts)}".rstrip(), max(room, NARROWEST))
        if lines and len(pieces) == 1 and _columns(lines[-1]) + len(GAP) + _columns(pieces[0]) <= (width or 0):
            lines[-1] += GAP + pieces[0]
        else:
            lines += [BELOW + piece for piece in pieces]
    return lines


def fold(text: str, width: int) -> list[str]:
    """Return a text in pieces of at most so many columns, broken between words where that can be."""
    if _columns(text) <= width:
        return [text]
    pieces, line = [], ""
    for word in re.findall(r"\s*\S+|\s+$", text):
        if _columns(line + word) <= width:
            line += word
            continue
        if line:
            pieces.append(line)
        line = word.lstrip()
        while _columns(line) > width:
            head = _head(line, width)
            pieces.append(head)
            line = line[len(head) :]
    return [*pieces, line] if line.strip() else pieces


def _head(text: str, width: int) -> str:
    end = min(len(text), width)
    while end > 1 and _columns(text[:end]) > width:
        end -= 1
    return text[:end]
