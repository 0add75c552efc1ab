"""Registers a Keras network: its generator, and the maps for its weights that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.keras_builder import KerasBuilder
from caffezoo.zoo.keras_layers import model_order, named_map, ordered_map
from caffezoo.zoo.tensor_map import TensorMap, tensor_map


def keras_architecture(
    name: str,
    build: Callable[[], KerasBuilder],
    *,
    renamed: Mapping[str, str] | None = None,
    unused: tuple[str, ...] = (),
    by_order: bool = True,
    directory: str = "keras",
) -> None:
    """Register ``prototxt/<directory>/deploy_<name>.prototxt`` and its tensor maps.

    They are called ``keras-applications``, ``keras`` and ``keras-by-order``.

    Parameters
    ----------
    name : str
        Network name.
    build : callable
        Builds the network, without arguments.
    renamed : mapping of str to str, optional
        Layers that ``keras.applications`` calls otherwise than keras-applications did.
    unused : tuple of str
        Shell patterns of tensors that files may have and the network here does without.
    by_order : bool
        False where a file that does not name layers would be another network's, which has the same shapes.
    directory : str
        Folder below ``prototxt/``.
    """

    def named(names: Mapping[str, str]) -> TensorMap:
        b = build()
        return named_map(b.keras_layers, b.mode, names, unused)

    def ordered() -> TensorMap:
        b = build()
        return ordered_map(model_order(b.net, b.keras_layers, b.lengths), b.mode, unused)

    architecture(directory, name, build)
    tensor_map(name, "keras", lambda: named({}), "keras-applications")
    if renamed:
        tensor_map(name, "keras", lambda: named(renamed), "keras")
    if by_order:
        tensor_map(name, "keras", ordered, "keras-by-order")
