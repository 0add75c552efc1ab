"""Networks that were made from another one: fully convolutional, and with the other rounding of pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffezoo.errors import NetworkError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.net.layer import BlobId, Shape


def fully_convolutional(network: Network) -> Network:
    """Return a network that gives a map of scores where its images are larger.

    Inner products become convolutions whose kernel is the feature map that they were trained on, and layers that
    flatten it let it through: at the network's own size it computes the same.

    Parameters
    ----------
    network : Network
        With weights, at the size that it was trained on.

    Raises
    ------
    NetworkError
        It has no weights.
    """
    net, lines = pb.NetParameter(), []
    weights: dict[str, Sequence[np.ndarray]] = dict(network.weights)
    maps: dict[BlobId, Shape] = {}
    for node, line in zip(network.nodes, network.prototxt.lines, strict=True):
        bottoms = [maps.get(b, s) for b, s in zip(node.bottoms, node.bottom_shapes, strict=True)]
        blobs = weights.get(node.key, ())
        if node.blob_shapes and not blobs:
            raise NetworkError("it has no weights", where=network.path)
        form = node.layer.sliding(blobs, bottoms) if bottoms else None
        if form is None:
            net.layer.append(node.layer.proto)
        else:
            net.layer.append(form.proto)
            weights[node.key] = form.blobs
            if not form.blobs:  # it let its bottom through
                weights.pop(node.key, None)
                maps[node.tops[0]] = bottoms[0]
        if form is None and len(bottoms) == 1 and node.top_shapes == node.bottom_shapes and node.bottoms[0] in maps:
            maps[node.tops[0]] = bottoms[0]
        lines.append(line)
    return network.rewritten(net, lines, weights, inputs=network.inputs)


def with_other_rounding(network: Network) -> Network:
    """Return a network whose pooling layers count their windows the other way: up (Caffe's own) or down.

    Raises
    ------
    NetworkError
        No layer counts windows.
    """
    net, changed = pb.NetParameter(), 0
    for node in network.nodes:
        other = node.layer.other_rounding()
        changed += other is not None
        net.layer.append(other if other is not None else node.layer.proto)
    if not changed:
        raise NetworkError("no layer of it counts windows", where=network.path)
    return network.rewritten(net, network.prototxt.lines, network.weights, inputs=network.inputs)
