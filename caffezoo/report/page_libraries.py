"""The libraries that the page runs in the browser, taken from the installed packages that ship them.

BokehJS draws the charts, DataTables (in the bundle of itables) sorts and filters the tables, Jinja2 fills the
templates. None of their code is part of this package: the report's extra installs them, and a report gets copies.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from caffezoo.errors import UsageError

HINT = "pip install 'caffezoo[report]'"
_PACKAGES = ("jinja2", "bokeh", "itables")
_EXPORT = re.compile(r"\bexport\s*\{([^{}]*\bas default\b[^{}]*)\}\s*;?")
_DEFAULT = re.compile(r"([\w$]+) as default\b")


def require_libraries() -> None:
    """Refuse early where something is missing.

    Raises
    ------
    UsageError
        A package of the extra is not installed; names it.
    """
    for package in _PACKAGES:
        _folder(package)


def library_files() -> dict[str, str]:
    """Return the files that a report carries, by name: two scripts and a style sheet.

    Raises
    ------
    UsageError
        A package is not installed, or holds its files elsewhere.
    """
    bokeh, itables = _folder("bokeh"), _folder("itables")
    return {
        "bokeh.js": _text(bokeh / "server" / "static" / "js" / "bokeh.min.js"),
        "datatables.js": classic_script(_text(itables / "html" / "dt_bundle.js"), "DataTable"),
        "datatables.css": _text(itables / "html" / "dt_bundle.css"),
    }


def classic_script(module: str, name: str) -> str:
    """Turn an ES module with a default export into a script that sets a global of that name.

    Browsers load no module from ``file://``.

    Raises
    ------
    UsageError
        It has not one such export.
    """
    exports = list(_EXPORT.finditer(module))
    default = _DEFAULT.search(exports[0][1]) if len(exports) == 1 else None
    if default is None:
        raise UsageError("the script of itables is not one module with a default export", hint=f"{HINT} again")
    before, after = module[: exports[0].start()], module[exports[0].end() :]
    return f'(() => {{\n"use strict";\n{before}window.{name} = {default[1]};{after}\n}})();\n'


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UsageError(f"the page needs {package}, which is not installed", hint=HINT)
    return Path(spec.origin).parent


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(file), hint=f"{HINT} again") from None
