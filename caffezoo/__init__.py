"""Caffe networks, made runnable, measurable and obtainable again.

The names below are imported when they are first used, so that ``import caffezoo`` costs nothing.

Examples
--------
>>> import caffezoo
>>> caffezoo.list_networks("efficientnet-*")
['efficientnet-lite0', 'efficientnet-lite1', 'efficientnet-lite2']
>>> caffezoo.network("dpn92").preprocessing.mean
(104.0, 117.0, 124.0)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from caffezoo.version import __version__ as __version__

if TYPE_CHECKING:
    from caffezoo.api import ZooNetwork, create_transform, fetch, list_networks, network, read_caffemodel
    from caffezoo.errors import ZooError
    from caffezoo.model.evaluating import evaluate
    from caffezoo.model.loading import load
    from caffezoo.model.model import Model

__all__ = [
    "Model",
    "ZooError",
    "ZooNetwork",
    "create_transform",
    "evaluate",
    "fetch",
    "list_networks",
    "load",
    "network",
    "read_caffemodel",
]

_PLACES = {
    "Model": "caffezoo.model.model",
    "ZooError": "caffezoo.errors",
    "evaluate": "caffezoo.model.evaluating",
    "load": "caffezoo.model.loading",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(_PLACES.get(name, "caffezoo.api")), name)
    raise AttributeError(f"module 'caffezoo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
