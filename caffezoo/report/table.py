"""A table: cells of text, links and measured figures, and its four formats."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NOTHING = ".."
"""What a cell says where nothing is known."""


@dataclass(frozen=True)
class Span:
    """A piece of a cell.

    Attributes
    ----------
    text : str
    url : str or None
    measured : bool
        A figure of this zoo's own store, set in italics to tell it from published ones.
    """

    text: str
    url: str | None = None
    measured: bool = False


Cell = tuple[Span, ...]
"""Pieces that are separated by blanks; empty where nothing is known."""


@dataclass(frozen=True)
class Column:
    """A column's title with its unit, and whether it is set flush right."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a caption before it and notes behind it."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[Cell, ...] = ()


def cell(value: str | float | int | None, decimals: int | None = None, url: str | None = None) -> Cell:
    """Return a cell of one value; empty for None."""
    if value is None:
        return ()
    return (Span(f"{value:.{decimals}f}" if decimals is not None else str(value), url),)


def _joined(spans: Cell, one: Callable[[Span], str]) -> str:
    """Pieces with blanks between them, but none before a comma or a semicolon."""
    return "".join(one(s) if i == 0 or s.text in (",", ";") else f" {one(s)}" for i, s in enumerate(spans)) or NOTHING


def to_markdown(table: Table) -> str:
    """GitHub's Markdown."""
    lines = [f"| {' | '.join(_markdown((Span(column.title),)) for column in table.columns)} |"]
    lines.append(f"|{'|'.join('---:' if column.number else '---' for column in table.columns)}|")
    lines += [f"| {' | '.join(_markdown(c) for c in row)} |" for row in table.rows]
    body = "\n".join(lines) if table.rows else ""
    blocks = [_markdown((Span(table.caption),)), body, "\n".join(f"- {_markdown(note)}" for note in table.notes)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _markdown(spans: Cell) -> str:
    def one(span: Span) -> str:
        text = re.sub(r"([\\|*_<\[\]`])", r"\\\1", span.text)
        text = f"[{text}]({span.url.replace(')', '%29').replace(' ', '%20')})" if span.url else text
        return f"*{text}*" if span.measured else text

    return _joined(spans, one)


def to_csv(table: Table) -> str:
    """CSV of the cells' texts; measured figures carry the word ``measured``. Caption and notes are left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.title for column in table.columns)
    for row in table.rows:
        writer.writerow(_joined(c, lambda s: f"measured {s.text}" if s.measured else s.text) for c in row)
    return text.getvalue()


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"\textdagger{}",
    "×": r"$\times$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def to_latex(table: Table) -> str:
    """A ``longtable``; needs the packages ``longtable``, ``booktabs`` and ``hyperref``."""
    spec = "".join("r" if column.number else "l" for column in table.columns)
    titles = " & ".join(_latex_text(column.title) for column in table.columns)
    lines = [rf"\begin{{longtable}}{{{spec}}}", rf"\caption{{{_latex_text(table.caption)}}}\\", r"\toprule"]
    lines += [rf"{titles}\\", r"\midrule", r"\endhead"]
    lines += [rf"{' & '.join(_latex(c) for c in row)}\\" for row in table.rows]
    lines += [r"\bottomrule", r"\end{longtable}"]
    return "\n".join([*lines, *(rf"\noindent {_latex(note)}\par" for note in table.notes)]) + "\n"


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex(spans: Cell) -> str:
    def one(span: Span) -> str:
        text = _latex_text(span.text)
        if span.url:
            address = re.sub(
                r"([%#\\{}~^])", lambda m: f"%{ord(m[0]):02x}" if m[0] in "\\{}^" else f"\\{m[0]}", span.url
            )
            text = rf"\href{{{address}}}{{{text}}}"
        return rf"\emph{{{text}}}" if span.measured else text

    return _joined(spans, one)


def to_html(table: Table) -> str:
    """A ``table`` element with its caption, and a paragraph of notes."""
    head = "".join(f"<th{_align(column)}>{html.escape(column.title)}</th>" for column in table.columns)
    lines = [f'<table id="{html.escape(table.name)}">', f"<caption>{html.escape(table.caption)}</caption>"]
    lines += [f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row in table.rows:
        cells = zip(row, table.columns, strict=True)
        lines.append(f"<tr>{''.join(f'<td{_align(column)}>{_html(c)}</td>' for c, column in cells)}</tr>")
    lines += ["</tbody>", "</table>"]
    if table.notes:
        lines.append(f"<p>{'<br>'.join(map(_html, table.notes))}</p>")
    return "\n".join(lines) + "\n"


def _align(column: Column) -> str:
    return ' style="text-align:right"' if column.number else ""


def _html(spans: Cell) -> str:
    def one(span: Span) -> str:
        text = html.escape(span.text)
        text = f'<a href="{html.escape(span.url)}">{text}</a>' if span.url else text
        return f"<em>{text}</em>" if span.measured else text

    return _joined(spans, one)


FORMATS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "markdown": ("md", to_markdown),
    "csv": ("csv", to_csv),
    "latex": ("tex", to_latex),
    "html": ("html", to_html),
}
"""Formats by name: file ending and writer."""


def sentence(parts: Sequence[Span | str]) -> Cell:
    """Return a note from texts and links."""
    return tuple(Span(part) if isinstance(part, str) else part for part in parts)
