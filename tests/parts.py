"""The parts of the suite that not every machine has, and what a run says of them in its last lines.

A part is a mark. Marks of parts that are a Python package are given by :func:`mark_parts`: a test module that imports
the package, or skips without it, belongs to it. So ``pytest -m torch`` runs all that needs PyTorch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Part:
    """What some tests need.

    Attributes
    ----------
    mark : str
    title : str
    remedy : str
        What would bring it.
    package : str or None
        The Python package that it is.
    fixture : str or None
        Tests that use this fixture belong to it.
    names : tuple of str
        What a test module imports from the tests when it needs the package.
    """

    mark: str
    title: str
    remedy: str
    package: str | None = None
    fixture: str | None = None
    names: tuple[str, ...] = ()


PARTS = (
    Part("oracle", "real Caffe", "`make oracle`, or CAFFE_PYTHON"),
    Part("opencv_oracle", "OpenCV's Caffe importer", "`make oracle`, or OPENCV_PYTHON"),
    Part("torch", "PyTorch", "`make torch`", package="torch", names=("requires_torch", "HERE")),
    Part("browser", "the page in a browser", "`make chromium`", fixture="running"),
    Part("registry", "the package index", "a network and pip's own configuration"),
)
_NOT_IMPORTED = re.compile(r"could not import '([\w.]+)'|No module named '([\w.]+)'")


def mark_parts(items: Iterable[pytest.Item]) -> None:
    """Give each test the marks of the packages and fixtures that it needs."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for part in PARTS:
            if part.fixture in fixtures or (part.package and part.package in _imports(item.path)):
                item.add_marker(part.mark)


@cache
def _imports(module: Path) -> frozenset[str]:
    """The packages of parts that a test module imports."""
    text = module.read_text(encoding="utf-8")
    found = set()
    for part in PARTS:
        if part.package:
            signs = [rf"importorskip\(\"{part.package}\b", rf"^\s*(import|from) {part.package}\b"]
            signs += [rf"^from tests.* import .*\b{name}\b" for name in part.names]
            found |= {part.package} if re.search("|".join(signs), text, re.MULTILINE) else set()
    return frozenset(found)


def closing_lines(stats: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Yield a line a part, from the reports of a run.

    Parameters
    ----------
    stats : mapping of str to sequence of reports
        By outcome, as pytest's terminal reporter keeps them.
    """
    ran: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for outcome in ("passed", "failed", "skipped"):
        for report in stats.get(outcome, ()):
            # A module that is skipped as a whole has a report of another kind, without marks.
            marks = [part.mark for part in PARTS if part.mark in getattr(report, "keywords", ())]
            if outcome != "skipped":
                ran.update(marks if report.when == "call" else ())
                continue
            skipped.update(marks)
            found = _NOT_IMPORTED.search(str(report.longrepr))
            if found and not marks:
                missing[(found[1] or found[2]).partition(".")[0]] += 1
    width = max(len(part.title) for part in PARTS)
    for part in PARTS:
        absent = skipped[part.mark] + missing.pop(part.package or "", 0)
        if part.package and find_spec(part.package) is None:
            told = f"NOT TESTED, what brings it: {part.remedy}"  # some tests of its modules run without it
        elif ran[part.mark]:
            told = f"tested, {ran[part.mark]} tests" + (f", {absent} skipped" if absent else "")
        elif absent:
            told = f"NOT TESTED, what brings it: {part.remedy}"
        else:
            told = "no test of this run needs it"
        yield f"{part.title:{width}}  {told}"
    for package, count in sorted(missing.items()):
        yield f"{package:{width}}  NOT TESTED, {count} skips: the package is not installed (`make test` installs all)"
