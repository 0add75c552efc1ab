"""Weights that a prototxt states: the ``diagonal`` filler of FlowNet 2, ``filler.hpp``.

Its networks end in a convolution that scales the flow to the size of the images. No weights file has it: the prototxt
does, as ``diag_val``.
"""

from __future__ import annotations

import math

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Shape
from caffezoo.net.node import Node


def diagonal(filler: pb.FillerParameter, shape: Shape) -> np.ndarray:
    """Return a blob whose kernel n -> n is constant with the sum ``diag_val`` n, or 1 behind the last; others are 0."""
    value = np.zeros(shape, np.float32)
    kernels = value.reshape(*(*shape, 1, 1)[:2], -1)
    area = max(1, math.prod(shape[2:]))
    for n in range(min(kernels.shape[:2])):
        kernels[n, n] = np.float32(filler.diag_val[n] if n < len(filler.diag_val) else 1) / np.float32(area)
    return value


def stated_blobs(node: Node) -> list[np.ndarray] | None:
    """Return the blobs of a layer whose weights its prototxt states as a diagonal; None of any other layer."""
    fillers = node.layer.fillers(len(node.blob_shapes))
    kinds = [f.type for f in fillers]
    if not kinds or kinds[0] != "diagonal" or set(kinds[1:]) - {"constant"}:
        return None
    rest = (np.full(s, f.value, np.float32) for f, s in zip(fillers[1:], node.blob_shapes[1:], strict=True))
    return [diagonal(fillers[0], node.blob_shapes[0]), *rest]
