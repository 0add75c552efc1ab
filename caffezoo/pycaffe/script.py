"""Running scripts that say ``import caffe`` on this package, unchanged."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

NAME = "caffe"
OURS = "caffezoo.pycaffe"


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``caffe`` and ``caffe.*`` here: the very modules of this package, not second copies."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != NAME and not fullname.startswith(f"{NAME}."):
            return None
        ours = OURS + fullname[len(NAME) :]
        try:
            found = importlib.util.find_spec(ours)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=found.submodule_search_locations is not None)

    def create_module(self, spec: Any) -> ModuleType:
        return importlib.import_module(OURS + spec.name[len(NAME) :])

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: the module has run under its own name."""


def install() -> None:
    """Let ``import caffe`` find this package, in this process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    for name in [name for name in sys.modules if name == NAME or name.startswith(f"{NAME}.")]:
        ours = OURS + name[len(NAME) :]
        if sys.modules[name] is not sys.modules.get(ours):
            del sys.modules[name]
    spec_kept = {name: module.__spec__ for name, module in sys.modules.items() if name.startswith(OURS)}
    importlib.import_module(NAME)
    for name, spec in spec_kept.items():
        sys.modules[name].__spec__ = spec


def run(arguments: Sequence[str]) -> None:
    """Run ``SCRIPT.py ARGS...`` or ``-m MODULE ARGS...`` with ``caffe`` being this package."""
    install()
    if arguments[0] == "-m":
        sys.argv = [arguments[1], *arguments[2:]]
        sys.path.insert(0, "")
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    sys.argv = list(arguments)
    sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
    runpy.run_path(arguments[0], run_name="__main__")
