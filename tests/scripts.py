"""Programs that tests put where a real one is looked for."""

from __future__ import annotations

import shlex
import stat
import sys
from pathlib import Path


def python_script(path: Path, text: str) -> str:
    """Write a program of Python text that can be called by its path, and return the path.

    A shell starts it: a ``#!`` line cannot name an interpreter in a folder with a space.
    """
    code = path.with_name(f"{path.name}-code.py")
    code.write_text(text, encoding="utf-8")
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(code))} "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)
