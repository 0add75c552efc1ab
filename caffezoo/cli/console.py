"""What is printed for people: tables and notes, in which no name from a file or a user is markup.

rich reads ``[red]`` and ``:boom:`` in what it prints, and a terminal reads control characters; layers and blobs may be
named so. Every console of the command line is made here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TextColumn


def make_console(*, stderr: bool = False, width: int | None = None, soft_wrap: bool = False) -> Console:
    """Return a console that prints every text as it stands.

    Parameters
    ----------
    stderr : bool
        Print on standard error.
    width : int, optional
        Columns, instead of the terminal's.
    soft_wrap : bool
        Leave wrapping to the terminal.
    """
    from rich.console import Console

    return Console(stderr=stderr, width=width, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)


def text_column(text: str) -> TextColumn:
    """Return a column of a progress bar; what stands in its fields is no markup."""
    from rich.progress import TextColumn

    return TextColumn(text, markup=False)


def shown(text: str) -> str:
    """Return a text with its control characters written out (``\\x1b``): a name must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def say(kind: str, text: object) -> None:
    """Print one line on standard error: ``caffezoo: warning: ...``.

    Parameters
    ----------
    kind : {"error", "warning", "note"}
    text : object
        Anything with a text, such as an error.
    """
    print(f"caffezoo: {kind}: {shown(' '.join(str(text).split()))}", file=sys.stderr)
