"""What a net learns: read, written, shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.binding import bind
from caffezoo.pycaffe.blob import Blob, BlobVec
from caffezoo.pycaffe.errors import caffe_errors

if TYPE_CHECKING:
    from caffezoo.net.graph import Network


class NetWeights:
    """The part of a Net that holds what is learned."""

    _network: Network
    _module: Any
    _given: dict[str, BlobVec]
    _engine: Any

    def _compute(self) -> None:
        """Compute the inner blobs of a pass that the engine ran without them."""
        raise NotImplementedError

    @caffe_errors
    def copy_from(self, trained: str | PathLike[str]) -> None:
        """Take over the blobs of all layers that a caffemodel or HDF5 file has too, by name."""
        from caffezoo.formats.caffemodel import read_weights

        file = read_weights(fspath(trained))
        names = {layer.name for layer in file.layers if layer.blobs}
        self._write(bind([n for n in self._network.nodes if n.name in names and self._given.get(n.key)], file).weights)

    @caffe_errors
    def load_hdf5(self, path: str | PathLike[str]) -> None:
        """Take over the blobs of an HDF5 file."""
        self.copy_from(path)

    @caffe_errors
    def share_with(self, other: NetWeights) -> None:
        """Use the memory of another net's layers of the same name: what changes there changes here."""
        import torch

        theirs = {n.name: other._given[n.key] for n in other._network.nodes if other._given.get(n.key)}
        for layer in self._module.layers:
            own, found = self._given.get(layer.node.key), theirs.get(layer.node.name)
            if own is None or found is None:
                continue
            if [b.shape for b in own] != [b.shape for b in found]:
                raise ValueError(f"layer '{layer.node.name}' has blobs of other shapes in the other net")
            own[:] = found
            for i, blob in enumerate(own):
                with torch.no_grad():
                    layer.blob(i).data = torch.from_numpy(blob.array)
                blob.settle()
        self._engine = None

    def clear_param_diffs(self) -> None:
        """Set the gradients of all that is learned to 0."""
        for blobs in self._given.values():
            for blob in blobs:
                blob.gradient[...] = 0

    @caffe_errors
    def save(self, path: str | PathLike[str]) -> None:
        """Write a caffemodel."""
        from caffezoo.formats.caffemodel_writer import write_caffemodel

        write_caffemodel(fspath(path), self._network.prototxt.net, self._arrays())

    @caffe_errors
    def save_hdf5(self, path: str | PathLike[str], write_diff: bool = False) -> None:
        """Write the learned values as Caffe's HDF5."""
        from caffezoo.formats.hdf5 import write_hdf5

        if write_diff:
            raise NotImplementedError("caffezoo.pycaffe: save_hdf5 does not write gradients")
        write_hdf5(fspath(path), self._network.prototxt.net, self._arrays())

    def _arrays(self) -> dict[str, list[np.ndarray]]:
        return {key: [blob.array for blob in blobs] for key, blobs in self._given.items() if blobs}

    def _write(self, weights: Mapping[str, Sequence[np.ndarray]]) -> None:
        self._compute()
        for key, blobs in weights.items():
            for blob, values in zip(self._given[key], blobs, strict=True):
                np.copyto(blob.array, np.asarray(values, np.float32).reshape(blob.shape))
        self._engine = None


def shared_blob(owner: Blob, shape: tuple[int, ...]) -> Blob:
    """Return the owner of shared values, or its values in another shape."""
    if owner.shape == shape:
        return owner
    found = Blob()
    found.array = owner.array.reshape(shape)
    found.settle()
    return found
