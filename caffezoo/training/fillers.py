"""Fillers: what new blobs begin with (Caffe's ``filler.hpp``).

The distributions are Caffe's; the numbers that are drawn are numpy's, by seed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from caffezoo.errors import TrainingError, UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.diagonal import diagonal
from caffezoo.net.graph import Network
from caffezoo.net.layer import Shape
from caffezoo.net.node import shared_blobs

Filler = Callable[[pb.FillerParameter, Shape, np.random.Generator], np.ndarray]


def fill(filler: pb.FillerParameter, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Return a new float32 blob.

    Parameters
    ----------
    filler : FillerParameter
    shape : sequence of int
    rng : Generator

    Raises
    ------
    UnknownNameError
        No such filler.
    TrainingError
        The filler cannot fill this shape.
    """
    try:
        function = FILLERS[filler.type]
    except KeyError:
        raise UnknownNameError("filler", filler.type, FILLERS) from None
    if filler.sparse != -1 and filler.type != "gaussian":
        raise TrainingError(f"the {filler.type} filler takes no 'sparse'; only gaussian does")
    return np.ascontiguousarray(function(filler, tuple(shape), rng), np.float32)


def is_constant(filler: pb.FillerParameter) -> bool:
    """Whether it gives the same values every time."""
    return filler.type in ("constant", "bilinear", "diagonal")


def filled_weights(network: Network, seed: int | None) -> dict[str, tuple[np.ndarray, ...]]:
    """Return a blob for every blob of a network, each by its own filler.

    A blob's values depend on the seed, its layer's name and its index alone, so that another layer changes none.

    Parameters
    ----------
    network : Network
    seed : int or None
        None draws other values every time.
    """
    weights: dict[str, list[np.ndarray]] = {}
    for node in network.nodes:
        count = len(node.blob_shapes)
        if not count:
            continue
        fillers = node.layer.fillers(count)
        weights[node.key] = []
        for i, (filler, shape) in enumerate(zip(fillers, node.blob_shapes, strict=True)):
            key = None if seed is None else [seed, zlib.crc32(node.key.encode()), i]
            try:
                weights[node.key].append(fill(filler, shape, np.random.default_rng(key)))
            except (TrainingError, UnknownNameError) as error:
                error.where = node.layer.label
                raise
    for (key_, i), (owner, k) in shared_blobs(network.nodes).items():
        weights[key_][i] = weights[owner][k].reshape(weights[key_][i].shape)
    return {key: tuple(blobs) for key, blobs in weights.items()}


def _constant(filler: pb.FillerParameter, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    return np.full(shape, filler.value, np.float32)


def _uniform(filler: pb.FillerParameter, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(filler.min, filler.max, shape)


def _gaussian(filler: pb.FillerParameter, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    values = rng.normal(filler.mean, filler.std, shape)
    if filler.sparse >= 0:
        # Caffe keeps a value with this probability: on average `sparse` inputs an output stay.
        values = values * (rng.random(shape) < filler.sparse / shape[0])
    return values


def _positive_unitball(filler: pb.FillerParameter, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    rows = rng.random((shape[0], math.prod(shape[1:])))
    found: np.ndarray = rows / rows.sum(1, keepdims=True)
    return found.reshape(shape)


def _fan(filler: pb.FillerParameter, shape: Shape) -> float:
    """Caffe's n: all but axis 0 for FAN_IN, all but axis 1 for FAN_OUT, also where that is no fan (a bias)."""
    count = math.prod(shape)
    fan_in = count / shape[0] if shape else 1
    fan_out = count / shape[1] if len(shape) > 1 else count
    choices = {
        pb.FillerParameter.FAN_IN: fan_in,
        pb.FillerParameter.FAN_OUT: fan_out,
        pb.FillerParameter.AVERAGE: (fan_in + fan_out) / 2,
    }
    return float(choices[filler.variance_norm])


def _xavier(filler: pb.FillerParameter, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    limit = math.sqrt(3 / _fan(filler, shape))
    return rng.uniform(-limit, limit, shape)


def _msra(filler: pb.FillerParameter, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, math.sqrt(2 / _fan(filler, shape)), shape)


def _bilinear(filler: pb.FillerParameter, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    if len(shape) != 4 or shape[2] != shape[3]:
        raise TrainingError(f"the bilinear filler takes a blob of square kernels with 4 axes, not {list(shape)}")
    factor = math.ceil(shape[3] / 2)
    centre = (shape[3] - 1) / (2 * factor)
    line = 1 - np.abs(np.arange(shape[3]) / factor - centre)
    return np.broadcast_to(np.outer(line, line), shape)


def _diagonal(filler: pb.FillerParameter, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    return diagonal(filler, shape)


FILLERS: dict[str, Filler] = {
    "constant": _constant,
    "gaussian": _gaussian,
    "uniform": _uniform,
    "xavier": _xavier,
    "msra": _msra,
    "positive_unitball": _positive_unitball,
    "bilinear": _bilinear,
    "diagonal": _diagonal,
}
