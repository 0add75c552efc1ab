"""The Python face of the zoo: find a network, load it, feed it.

Stands above all rooms, because an entry of the index (:mod:`caffezoo.zoo`) and what it computes (:mod:`caffezoo.net`)
know nothing of each other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from caffezoo.zoo.entry import NetworkEntry
from caffezoo.zoo.index import load_index

if TYPE_CHECKING:
    from caffezoo.net.graph import Network


class ZooNetwork(NetworkEntry):
    """A network of the index that can be loaded.

    Examples
    --------
    >>> import caffezoo, numpy
    >>> entry = caffezoo.network("dpn-92")
    >>> entry.preprocess(numpy.zeros((375, 500, 3), numpy.uint8)).shape
    (1, 3, 224, 224)
    """

    def load(self, weights: str | os.PathLike[str] | None = None, *, fetch: bool = True) -> Network:
        """Return the network with its weights.

        Parameters
        ----------
        weights : path, optional
            A caffemodel or HDF5 file. Where not given, the entry's sources are asked in their order of trust.
        fetch : bool
            False returns the network without weights if none are given.

        Raises
        ------
        FetchError
            No source gave the weights.
        BindingError
            The weights do not fit the prototxt.
        """
        from caffezoo.net.graph import Network

        network = Network.load(self.prototxt_path)
        if weights is None:
            if not fetch:
                return network
            from caffezoo.weights.fetch import fetch_network

            weights = fetch_network(self)
        return network.with_weights_file(weights)


def network(name: str, index: str | os.PathLike[str] | None = None) -> ZooNetwork:
    """Return a network of the index by name, alias or variant spelling.

    Parameters
    ----------
    name : str
        ``dpn-92``, ``dpn92``, ``DPN_92``.
    index : path, optional
        Your own index file, merged over the built-in one; ``CAFFEZOO_INDEX`` where not given.

    Raises
    ------
    UnknownNameError
        No such network; carries the three nearest names.
    IndexFileError
        The index cannot be.
    """
    entry = load_index(index).network(name)
    return ZooNetwork.model_construct(entry.model_fields_set, **dict(entry))


def list_networks(
    pattern: str = "*", family: str | None = None, index: str | os.PathLike[str] | None = None
) -> list[str]:
    """Return the names of the networks whose name or alias matches a shell pattern.

    Parameters
    ----------
    pattern : str
        ``se-*``, ``*50*``.
    family : str, optional
        Only networks of this family.
    index : path, optional
        Your own index file, merged over the built-in one.

    Raises
    ------
    UnknownNameError
        No such family.
    """
    return load_index(index).names(pattern, family)
