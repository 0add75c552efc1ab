"""A network without what wanted blobs do not depend on: labels, losses, heads, what is silenced."""

from __future__ import annotations

from collections.abc import Iterable

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.cutting import need_of
from caffezoo.formats.layer_keys import layer_keys
from caffezoo.net.graph import Network


def cut(network: Network, outputs: Iterable[str]) -> Network:
    """Return the part of a network that blobs depend on; the network itself, where that is all of it.

    Weights, lines and notes are kept. A data layer of which not every top is needed becomes an Input layer of those
    that are, in the shapes that the network runs at.

    Parameters
    ----------
    network : Network
    outputs : iterable of str
        Their last versions are meant, as Caffe's ``net.blobs`` has them after a forward pass.

    Raises
    ------
    UnknownNameError
        No such blob.
    """
    need = need_of(network.prototxt.net.layer, outputs, network.path)
    net = pb.NetParameter()
    for index in need.layers:
        node = network.nodes[index]
        tops = [(top.name, s) for top, s in zip(node.tops, node.top_shapes, strict=True) if top in need.blobs]
        if node.layer.is_input and len(tops) < len(node.tops):
            layer = net.layer.add(name=node.name, type="Input", top=[name for name, _ in tops])
            layer.input_param.shape.extend(pb.BlobShape(dim=list(shape)) for _, shape in tops)
        else:
            net.layer.append(node.layer.proto)
    inputs = {top for layer in net.layer if not layer.bottom for top in layer.top}
    shapes = {name: shape for name, shape in network.inputs.items() if name in inputs}
    if len(net.layer) == len(network.nodes) and len(shapes) == len(network.inputs):
        return network
    kept = [network.nodes[i].key for i in need.layers]
    keys = layer_keys(layer.name for layer in net.layer)
    weights = {new: network.weights.held(old) for new, old in zip(keys, kept, strict=True) if old in network.weights}
    return network.rewritten(net, [network.prototxt.lines[i] for i in need.layers], weights, inputs=shapes)
