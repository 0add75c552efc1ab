"""Gaussian filtering of points with many features on the permutohedral lattice (Adams, Baek and Davis, 2010).

What DenseCRF and CRF-RNN filter by: a point's values are spread over the corners of its simplex, blurred along every
axis of the lattice, and read back by the same weights. An approximation, so its steps are repeated in the order and
precision of those programs (``modified_permutohedral.cpp`` of CRF-RNN, ``permutohedral.cpp`` of DenseCRF).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LANES = 4
"""Points that the programs place at once; the last group is filled up with points whose features are 0."""


@dataclass(frozen=True)
class Lattice:
    """Points placed on a lattice of d + 1 axes.

    Attributes
    ----------
    corners : ndarray
        Which vertices each point lies between, [d + 1, points].
    weights : ndarray
        How much of the point each of them holds, [d + 1, points].
    neighbours : ndarray
        The vertices before and behind every vertex along each axis, [d + 1, 2, vertices]; the number of vertices where
        there is none.
    """

    corners: np.ndarray
    weights: np.ndarray
    neighbours: np.ndarray

    def filtered(self, values: np.ndarray) -> np.ndarray:
        """Return values [channels, points], filtered."""
        axes, vertices = self.neighbours.shape[0], self.neighbours.shape[2]
        points = values.shape[1]
        alpha = 1 / (1 + 2.0 ** -(axes - 1))
        corners, weights = self.corners[:, :points], self.weights[:, :points]
        found = np.empty(values.shape)
        for channel, line in enumerate(values):
            held = np.bincount(corners.ravel(), (weights * line).ravel(), vertices + 1)
            for before, behind in self.neighbours:
                held[:-1] += (held[before] + held[behind]) / 2
            found[channel] = (weights * held[corners]).sum(0) * alpha
        return found


def place(features: np.ndarray) -> Lattice:
    """Return the lattice of points with features [points, d], which are divided by their standard deviations."""
    count, d = features.shape
    filled = np.zeros((-(-count // LANES) * LANES, d), np.float32)
    filled[:count] = features
    remainder, rank, weights = _simplex(filled)
    steps = np.arange(d + 1)[:, None]
    canonical = np.where(np.arange(d + 1) <= d - steps, steps, steps - (d + 1))  # [corner, rank]
    keys = remainder[:d] + canonical[:, rank[:d]]  # [corner, d, points]
    keys = keys.transpose(0, 2, 1).reshape(-1, d)
    low = keys.min(0) - (d + 1)
    spans = (keys.max(0) + d + 2 - low).astype(np.int64)
    if math.prod(int(s) for s in spans) >= 2**62:
        unique, index = np.unique(keys, axis=0, return_inverse=True)
        return Lattice(index.reshape(d + 1, -1), weights, _neighbours(unique, None))
    radix = np.concatenate([[1], np.cumprod(spans[:-1])])
    packed, index = np.unique((keys - low) @ radix, return_inverse=True)
    return Lattice(index.reshape(d + 1, -1), weights, _neighbours(packed, radix))


def _simplex(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the nearest vertex of colour 0 and each coordinate's rank, [d + 1, points], and the corners' weights."""
    points, d = features.shape
    deviation = np.float32(np.float32(math.sqrt(2 / 3)) * np.float32(d + 1))
    scale = [np.float32(1 / math.sqrt((i + 2) * (i + 1)) * float(deviation)) for i in range(d)]
    elevated = np.zeros((d + 1, points), np.float32)
    total = np.zeros(points, np.float32)
    for j in range(d, 0, -1):
        share = features[:, j - 1] * scale[j - 1]
        elevated[j] = total - np.float32(j) * share
        total = total + share
    elevated[0] = total
    part = np.float32(1 / np.float32(d + 1))
    nearest = np.rint(part * elevated)
    remainder = nearest * np.float32(d + 1)
    offset = elevated - remainder
    rank = np.zeros((d + 1, points), np.int64)
    for i in range(d):
        for j in range(i + 1, d + 1):
            less = offset[i] < offset[j]
            rank[i] += less
            rank[j] += ~less
    rank += nearest.sum(0).astype(np.int64)
    turn = (d + 1) * ((rank < 0).astype(np.int64) - (rank > d))
    rank, remainder = rank + turn, (remainder + turn).astype(np.float32)
    weights = np.zeros((d + 2, points), np.float32)
    columns = np.arange(points)
    for i in range(d + 1):
        value = (elevated[i] - remainder[i]) * part
        weights[d - rank[i], columns] += value
        weights[d + 1 - rank[i], columns] -= value
    weights[0] += 1 + weights[d + 1]
    return remainder.astype(np.int64), rank, weights[: d + 1]


def _neighbours(vertices: np.ndarray, radix: np.ndarray | None) -> np.ndarray:
    """Return the neighbours of vertices, given packed by ``radix`` and sorted, or as sorted rows."""
    count = len(vertices)
    d = vertices.shape[1] if radix is None else len(radix)
    found = np.full((d + 1, 2, count), count)
    places = None if radix is not None else {tuple(row): i for i, row in enumerate(vertices.tolist())}
    for axis in range(d + 1):
        step = np.full(d, -1)
        if axis < d:
            step[axis] = d
        for side, sign in enumerate((1, -1)):
            if places is not None:
                moved = (vertices + sign * step).tolist()
                found[axis, side] = [places.get(tuple(row), count) for row in moved]
                continue
            wanted = vertices + sign * int(step @ radix)
            at = np.minimum(np.searchsorted(vertices, wanted), count - 1)
            found[axis, side] = np.where(vertices[at] == wanted, at, count)
    return found
