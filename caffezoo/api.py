"""The Python face of the zoo: find a network, fetch it, read it, feed it.

Stands above all rooms, because an entry of the index (:mod:`caffezoo.zoo`) and what it computes (:mod:`caffezoo.net`)
know nothing of each other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from caffezoo.zoo.entry import NetworkEntry
from caffezoo.zoo.index import load_index

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from caffezoo.evaluation.image_transform import ImageTransform
    from caffezoo.model.model import Model
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

    def load(self, weights: str | os.PathLike[str] | None = None, **options: Any) -> Model:
        """Return the network ready to run; see :func:`caffezoo.load`, which takes the same options."""
        from caffezoo.model.loading import load

        return load(self.name, weights, **options)

    def graph(self) -> Network:
        """Return the network without weights: layers, shapes and costs.

        Examples
        --------
        >>> caffezoo.network("squeezenet-v1.1").graph().parameter_count
        1235496
        """
        from caffezoo.net.graph import Network

        return Network.load(self.prototxt_path)


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


def fetch(net: str, index: str | os.PathLike[str] | None = None) -> Path:
    """Return the caffemodel of a network of the zoo, fetched and verified where it is not in the cache.

    Raises
    ------
    UnknownNameError
        No such network.
    FetchError
        No source gave the weights.
    """
    from caffezoo.weights.fetch import fetch_network

    return fetch_network(load_index(index).network(net))


def read_caffemodel(path: str | os.PathLike[str]) -> dict[str, list[np.ndarray]]:
    """Return the learned blobs of a caffemodel or HDF5 weights file, by layer, in Caffe's order.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to list of float32 array
        In the shapes that the file gives, read-only. Layers without blobs are left out; of several of one name the last
        stays, as in Caffe.

    Raises
    ------
    WeightsFileError

    Examples
    --------
    >>> import caffezoo
    >>> {name: [blob.shape for blob in blobs] for name, blobs in caffezoo.read_caffemodel("net.caffemodel").items()}
    {'conv': [(8, 3, 3, 3), (8,)], 'fc': [(10, 8), (10,)]}
    """
    from caffezoo.formats.caffemodel import read_weights

    layers = read_weights(path).by_name().values()
    return {layer.name: [blob.data for blob in layer.blobs] for layer in layers if layer.blobs}


def create_transform(
    net: str | NetworkEntry | Model,
    preset: Literal["small", "large"] = "small",
    index: str | os.PathLike[str] | None = None,
) -> ImageTransform:
    """Return a network's own preprocessing as a plain callable, for the loaders of other libraries.

    Parameters
    ----------
    net : str, NetworkEntry or Model
        A network of the zoo (no weights are fetched), or a model.
    preset : {"small", "large"}
        Which sizes of a network of the zoo.
    index : path, optional
        Your own index.

    Returns
    -------
    ImageTransform
        Takes a path, bytes, a uint8 array (H, W, 3) in B, G, R or an image of Pillow, and gives float32 (3, H, W).

    Examples
    --------
    >>> import caffezoo
    >>> caffezoo.create_transform("dpn-92")("photo.jpg").shape
    (3, 224, 224)
    """
    from caffezoo.evaluation.image_transform import ImageTransform
    from caffezoo.evaluation.protocol import Protocol
    from caffezoo.model.model import Model

    if isinstance(net, Model):
        return net.transform
    entry = net if isinstance(net, NetworkEntry) else load_index(index).network(net)
    return ImageTransform(Protocol.of(entry.preset(preset)))
