"""The table of generators: which function writes which deploy prototxt.

Each module of this package describes one family and registers its networks with :func:`architecture`. The table is
filled by importing the modules, which :func:`architectures` does once.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import caffezoo.zoo.architectures as package
from caffezoo.zoo.builder import NetBuilder


@dataclass(frozen=True)
class Architecture:
    """One deploy prototxt and the call that builds it."""

    name: str
    path: str  # relative to the project's root: prototxt/<directory>/deploy_<name>.prototxt
    build: Callable[[], NetBuilder]


_TABLE: dict[str, Architecture] = {}


def architecture(directory: str, name: str, build: Callable[[], NetBuilder]) -> None:
    """Register a network.

    Parameters
    ----------
    directory : str
        Folder below ``prototxt/``.
    name : str
        Network name; the file is ``deploy_<name>.prototxt``.
    build : callable
        Builds the network, without arguments.

    Raises
    ------
    ValueError
        If the path is registered already.
    """
    path = f"prototxt/{directory}/deploy_{name}.prototxt"
    if path in _TABLE:
        raise ValueError(f"{path} is registered twice")
    _TABLE[path] = Architecture(name, path, build)


@cache
def architectures() -> dict[str, Architecture]:
    """Return every registered architecture by its prototxt's path, in order of path."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_TABLE.items()))
