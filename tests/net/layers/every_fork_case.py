"""All cases of forks' layers: the tables of ForkCase in the ``*_cases.py`` beside this module, by name.

A new family of layers is a new file here; nothing else has to name it. ``OWN_TESTS`` of such a file holds the types
that a test module of their own covers.
"""

from __future__ import annotations

import importlib
import pkgutil

import tests.net.layers as package
from tests.net.layers.fork_cases import ForkCase


def _modules() -> list[object]:
    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__))
    return [
        importlib.import_module(f"{package.__name__}.{name}")
        for name in names
        if name.endswith("_cases") and not name.startswith("test_")
    ]


def _collected() -> dict[str, ForkCase]:
    found: dict[str, ForkCase] = {}
    for module in _modules():
        for name, table in vars(module).items():
            if name.endswith("_CASES") and isinstance(table, dict):
                doubled = {key for key in table if found.get(key, table[key]) is not table[key]}
                assert not doubled, f"two cases have one name: {doubled}"
                found.update(table)
    return found


EVERY_FORK_CASE = _collected()
OWN_TESTS: set[str] = set().union(*(getattr(module, "OWN_TESTS", ()) for module in _modules()))
