"""A recipe with weights by formula, for networks whose trained weights are not at hand: agreement needs no labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from caffezoo.engines.seeding import seeded_weights
from caffezoo.evaluation.recipe import Recipe
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network

if TYPE_CHECKING:
    from caffezoo.evaluation.asked import Asked
    from caffezoo.zoo.entry import NetworkEntry


@contextmanager
def seeded_recipe(entry: NetworkEntry, seed: int = 0, asked: Asked | None = None) -> Iterator[Recipe]:
    """Give a recipe whose weights are drawn by formula for inputs of the network's own range.

    Parameters
    ----------
    entry : NetworkEntry
    seed : int, optional
    asked : Asked, optional
        What is asked of preprocessing.

    Yields
    ------
    Recipe
        Its weights file goes when the block ends.
    """
    with TemporaryDirectory(prefix="caffezoo-seeded-") as folder:
        recipe = Recipe.from_entry(entry, Path(folder) / f"{entry.name}.caffemodel", asked)
        network = Network.load(recipe.prototxt)
        low, high = input_range(recipe)
        weights, _ = seeded_weights(network, seed, low=low, high=high)
        write_caffemodel(recipe.weights, network.prototxt.net, weights)
        yield replace(recipe, name=f"{entry.name} (seeded)")


def input_range(recipe: Recipe) -> tuple[float, float]:
    """Return the smallest and largest value that preprocessing makes of a pixel."""
    p = recipe.preprocessing
    low = min((0 - m) / s for m, s in zip(p.mean, p.std, strict=True))
    high = max((255 - m) / s for m, s in zip(p.mean, p.std, strict=True))
    return low, high
