"""The plain-BVLC form of a network: the same function, in layers that Caffe's own releases have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network, Node


def to_plain(network: Network) -> Network:
    """Rewrite layers of forks (Axpy, ConvolutionDepthwise, Clip, ``ceil_mode`` ...) in BVLC's own.

    Layers keep their names, so a caffemodel of the network binds to the plain form as it does to the network, except
    for constant blobs that a rewrite adds (they are part of the returned network's weights).

    Raises
    ------
    LoweringError
        If a layer has no form in BVLC's layers.
    """
    plain = pb.NetParameter(name=network.name)
    weights: dict[str, Sequence[np.ndarray]] = dict(network.weights)
    for node in network.nodes:
        form = node.layer.plain(node.bottom_shapes)
        if node.layer.is_input:
            plain.layer.append(_input(node))
        elif form is None:
            plain.layer.append(node.layer.proto)
        else:
            plain.layer.extend(form.layers)
            own = weights.get(node.name, ())
            if own and form.moved:
                weights.update({layer: [own[i] for i in indices] for layer, indices in form.moved.items()})
            if node.name not in {layer.name for layer in form.layers}:
                weights.pop(node.name, None)
            weights.update(form.blobs)
    return Network.from_proto(plain, weights=weights, path=network.path)


def _input(node: Node) -> pb.LayerParameter:
    """Return an Input layer of the shapes that the network runs at, also where a data layer fed it."""
    return pb.LayerParameter(
        name=node.name,
        type="Input",
        top=[t.name for t in node.tops],
        input_param={"shape": [{"dim": list(s)} for s in node.top_shapes]},
    )
