"""Which files a network is: those that were named, or the zoo's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from caffezoo.errors import NetworkError, UnknownLayerError, UsageError
from caffezoo.evaluation.asked import Asked
from caffezoo.evaluation.recipe import Recipe
from caffezoo.net.load_options import AS_DEPLOYED, LoadOptions
from caffezoo.zoo.index import load_index

if TYPE_CHECKING:
    from caffezoo.net.graph import Network


@dataclass(frozen=True)
class Source:
    """The files that a model was read from, and how.

    Attributes
    ----------
    name : str
        In the zoo, or of the file.
    prototxt, weights : Path
    options : LoadOptions
    """

    name: str
    prototxt: Path
    weights: Path
    options: LoadOptions

    def read(self, outputs: Sequence[str] | None = None) -> Network:
        """Return the network with its weights; of one with layers that nobody knows, what outputs depend on.

        Raises
        ------
        FormatError, NetworkError
        """
        try:
            return self.options.load(self.prototxt, self.weights)
        except UnknownLayerError:
            if not outputs:
                raise
            return self.options.load(self.prototxt, self.weights, outputs=outputs)

    def stamp(self) -> tuple[int, int]:
        """Return what tells whether the weights are still the same file."""
        status = self.weights.stat()
        return status.st_size, status.st_mtime_ns


def find_files(
    net: str | PathLike[str],
    weights: str | PathLike[str] | None = None,
    *,
    asked: Asked | None = None,
    options: LoadOptions = AS_DEPLOYED,
    index: str | PathLike[str] | None = None,
) -> tuple[Source, Recipe | None]:
    """Return the files of a network, its weights fetched where needed, and how it sees images where anything tells.

    Parameters
    ----------
    net : str or path
        A name of the zoo, or a prototxt file.
    weights : path, optional
    asked : Asked, optional
        What is asked of preprocessing.
    options : LoadOptions
    index : path, optional

    Raises
    ------
    UsageError
        A prototxt without weights, no such file, an unknown name.
    FetchError
    """
    name = fspath(net)
    if name.endswith(".prototxt") or os.path.isfile(name):
        if weights is None:
            raise UsageError("a prototxt needs weights", where=name, hint="caffezoo.load(prototxt, weights)")
        source = Source(Path(name).stem, existing(name), existing(weights), options)
        try:
            return source, Recipe.from_files(source.prototxt, source.weights, asked, options)
        except (UsageError, NetworkError):
            if asked is not None and asked != Asked():
                raise
            return source, None
    entry = load_index(index).network(name)
    Recipe.from_entry(entry, Path(), asked)  # refuses before weights are fetched
    if weights is None:
        from caffezoo.weights.fetch import fetch_network

        weights = fetch_network(entry)
    recipe = Recipe.from_entry(entry, existing(weights), asked)
    return Source(entry.name, recipe.prototxt, recipe.weights, options), recipe


def existing(path: str | PathLike[str]) -> Path:
    """Return a file's path.

    Raises
    ------
    UsageError
        It is none.
    """
    if not os.path.isfile(path):
        raise UsageError("no such file", where=fspath(path))
    return Path(path)
