"""Weights as a file holds them: the layers of a weights file and their blobs, whatever the file's format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Blob:
    """One learned array of a layer.

    Attributes
    ----------
    data : ndarray of float32
        In the shape that the file gives; read-only. Where values were to be read later, a large one is a
        :class:`~caffezoo.formats.stored_array.StoredArray` of that shape.
    legacy : bool
        The shape came from num/channels/height/width, so a bias of N values is (1, 1, 1, N).
    """

    data: npt.NDArray[np.float32]
    legacy: bool


@dataclass(frozen=True)
class LayerBlobs:
    """The blobs of one layer; `type` is Caffe's present name of the layer type, empty where the file has none."""

    name: str
    type: str
    blobs: tuple[Blob, ...]


@dataclass(frozen=True)
class WeightsFile:
    """A weights file in memory.

    Attributes
    ----------
    path : str
    format : {'caffemodel', 'hdf5'}
    layers : tuple of LayerBlobs
        In the file's order; layers without blobs included where the file has them.
    warnings : tuple of str
        One line each: fields that nobody knows.
    """

    path: str
    format: str
    layers: tuple[LayerBlobs, ...]
    warnings: tuple[str, ...]

    def by_name(self) -> dict[str, LayerBlobs]:
        """Layers by name; of several with one name the last, whose blobs stay in a network that Caffe binds."""
        return {layer.name: layer for layer in self.layers}
