"""Two files of arrays compared, layer by layer and value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffezoo.formats.blob_statistics import chunks
from caffezoo.formats.blobs import LayerBlobs
from caffezoo.formats.layer_keys import layer_keys


@dataclass(frozen=True)
class BlobDifference:
    """One blob in two files.

    Attributes
    ----------
    layer : str
    blob : int
        Its number in the layer.
    shapes : tuple of two shapes
    largest : float or None
        Largest difference of two values; None where the shapes hold another number of values. Infinite where one is
        NaN or infinite and the other is not the same.
    scale : float
        Largest value of the first file's blob.
    differing : int
        How many values differ.
    """

    layer: str
    blob: int
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    largest: float | None
    scale: float
    differing: int

    @property
    def relative(self) -> float | None:
        """The largest difference over the largest value."""
        if self.largest is None or not self.largest:
            return self.largest
        return self.largest / self.scale if self.scale else math.inf

    def within(self, tolerance: float) -> bool:
        """Whether the shapes are the same and no value differs by more than this share of the largest one."""
        return self.shapes[0] == self.shapes[1] and self.relative is not None and self.relative <= tolerance


@dataclass(frozen=True)
class WeightsDifference:
    """Two files of arrays.

    Attributes
    ----------
    only_first, only_second : tuple of str
        Layers with blobs that the other file lacks.
    counts : tuple of (str, int, int)
        Layers with another number of blobs.
    blobs : tuple of BlobDifference
        Of all layers that both have.
    """

    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    counts: tuple[tuple[str, int, int], ...]
    blobs: tuple[BlobDifference, ...]

    def same(self, tolerance: float = 0.0) -> bool:
        """Whether both hold the same, to this share of each blob's largest value."""
        whole = not (self.only_first or self.only_second or self.counts)
        return whole and all(blob.within(tolerance) for blob in self.blobs)


def compare_layers(first: Sequence[LayerBlobs], second: Sequence[LayerBlobs]) -> WeightsDifference:
    """Compare the blobs of layers of the same names."""
    a, b = _by_key(first), _by_key(second)
    counts, blobs = [], []
    for key in a:
        if key not in b:
            continue
        if len(a[key]) != len(b[key]):
            counts.append((key, len(a[key]), len(b[key])))
        blobs += [compare_blobs(key, i, x, y) for i, (x, y) in enumerate(zip(a[key], b[key], strict=False))]
    return WeightsDifference(
        tuple(key for key in a if key not in b), tuple(key for key in b if key not in a), tuple(counts), tuple(blobs)
    )


def compare_blobs(layer: str, number: int, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> BlobDifference:
    """Compare two arrays, in the order that their values lie in."""
    shapes = (tuple(first.shape), tuple(second.shape))
    if first.size != second.size:
        return BlobDifference(layer, number, shapes, None, _largest(first), max(first.size, second.size))
    largest = scale = 0.0
    differing = 0
    for x, y in zip(chunks(first), chunks(second), strict=True):
        finite = np.isfinite(x)
        scale = max(scale, float(np.abs(x[finite]).max(initial=0)))
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        if same.all():
            continue
        differing += int((~same).sum())
        with np.errstate(invalid="ignore"):
            off = np.abs(x[~same] - y[~same])
        largest = max(largest, float(np.where(np.isfinite(off), off, np.inf).max()))
    return BlobDifference(layer, number, shapes, largest, scale, differing)


def _largest(array: npt.NDArray[Any]) -> float:
    return max((float(np.abs(x[np.isfinite(x)]).max(initial=0)) for x in chunks(array)), default=0.0)


def _by_key(layers: Sequence[LayerBlobs]) -> dict[str, list[npt.NDArray[Any]]]:
    keys = layer_keys(layer.name for layer in layers)
    return {key: [b.data for b in layer.blobs] for key, layer in zip(keys, layers, strict=True) if layer.blobs}
