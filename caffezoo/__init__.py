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

from typing import TYPE_CHECKING, Any

from caffezoo.version import __version__ as __version__

if TYPE_CHECKING:
    from caffezoo.api import ZooNetwork, list_networks, network

__all__ = ["ZooNetwork", "list_networks", "network"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        import caffezoo.api

        return getattr(caffezoo.api, name)
    raise AttributeError(f"module 'caffezoo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
