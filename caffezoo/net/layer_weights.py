"""The blobs of a network's layers, some of them still in their file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from caffezoo.formats.stored_array import StoredArray

Held = np.ndarray | StoredArray
"""A blob as it is held: in memory, or in its file."""


class LayerWeights(Mapping[str, tuple[np.ndarray, ...]]):
    """Blobs by :attr:`Node.key`, in Caffe's order; those that are in a file are read when they are asked for.

    Parameters
    ----------
    weights : mapping of str to sequence of ndarray
        Or of :class:`~caffezoo.formats.stored_array.StoredArray`.
    """

    def __init__(self, weights: Mapping[str, Sequence[Held]] | None = None) -> None:
        if isinstance(weights, LayerWeights):
            self._held: dict[str, tuple[Held, ...]] = dict(weights._held)
        else:
            self._held = {key: tuple(blobs) for key, blobs in (weights or {}).items()}

    def held(self, key: str) -> tuple[Held, ...]:
        """Return a layer's blobs as they are held: their shapes are known, their values perhaps not read."""
        return self._held.get(key, ())

    def all_held(self) -> dict[str, tuple[Held, ...]]:
        """Return all blobs as they are held."""
        return dict(self._held)

    def __getitem__(self, key: str) -> tuple[np.ndarray, ...]:
        return tuple(blob.read() if isinstance(blob, StoredArray) else blob for blob in self._held[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: object) -> bool:
        return key in self._held

    def __repr__(self) -> str:
        return f"<blobs of {len(self)} layers>"
