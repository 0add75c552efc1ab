"""The doors of a checkout (``tools/fetch.py``, ``cls/evaluation_cls.py``): a verb under a file's name.

A door puts its own checkout before all other places that Python imports from, so that a caffezoo that is installed
elsewhere is not opened in its stead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import caffezoo
from caffezoo.cli.console import say
from caffezoo.cli.main import main


def enter(verb: str, door: str | os.PathLike[str]) -> None:
    """Run a verb with the arguments of this process, and exit as the command does.

    Parameters
    ----------
    verb : str
        Such as ``"time"``.
    door : path-like
        The script that was started, in a folder of the checkout's root. Where no caffezoo lies beside that folder, one
        line on standard error says which one was opened instead.
    """
    root, opened = Path(door).resolve().parent.parent, Path(caffezoo.__file__).resolve().parent
    if opened != root / "caffezoo":
        say("note", f"{door} opens the caffezoo at {opened}, because there is none in {root}")
    main([verb, *sys.argv[1:]])
