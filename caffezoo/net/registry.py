"""The table of layer types: which class a Caffe type name stands for, this package's own and those of ``--layers``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from caffezoo.errors import UnknownLayerError, UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.given_shapes import shape_flags

if TYPE_CHECKING:
    from caffezoo.net.layer import Layer

SURE = 0.8
"""Ratio from which a layer type counts as a misspelt one: many of Caffe's types are alike."""

_REGISTRY: dict[str, type[Layer]] = {}
_L = TypeVar("_L", bound="type[Layer]")


def register(*types: str) -> Callable[[_L], _L]:
    """Register a layer class under its Caffe type names.

    Raises
    ------
    ValueError
        If a type is registered already.
    """

    def decorate(cls: _L) -> _L:
        for name in types:
            if name in _REGISTRY:
                raise ValueError(f"layer type {name} is registered twice: {_REGISTRY[name]} and {cls}")
            _REGISTRY[name] = cls
        return cls

    return decorate


def layer_types() -> Mapping[str, type[Layer]]:
    """Return every registered layer class by its Caffe type, those that were registered last among them."""
    _import_own()
    return dict(sorted(_REGISTRY.items()))


def layer_class(layer_type: str) -> type[Layer] | None:
    """Return the class of a layer type, None if it has none."""
    _import_own()
    return _REGISTRY.get(layer_type)


def is_known(proto: pb.LayerParameter) -> bool:
    """Whether there is a class of a layer's type that makes as many tops as it has."""
    found = layer_class(proto.type)
    return found is not None and (found.top_count[1] is None or len(proto.top) <= found.top_count[1])


@cache
def _import_own() -> None:
    import caffezoo.net.layers as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def make_layer(proto: pb.LayerParameter, where: str = "", phase: int = pb.TEST) -> Layer:
    """Return the layer object of a LayerParameter.

    Raises
    ------
    UnknownLayerError
        If no class is registered for its type; the message carries the nearest types.
    """
    cls = layer_class(proto.type)
    if cls is None:
        raise unknown_layer(proto, where or None)
    return cls(proto, where, phase)


def unknown_layer(proto: pb.LayerParameter, where: str | None = None) -> UnknownLayerError:
    """Return the error for one layer of a type that nobody has registered."""
    hint = UnknownNameError("layer type", proto.type, layer_types(), cutoff=SURE).hint
    if not proto.bottom and proto.top:
        hint = f"its tops are inputs with {shape_flags(proto.top)}"
    return UnknownLayerError(f"layer '{proto.name}': unknown layer type '{proto.type}'", where=where, hint=hint)
