"""The plain-BVLC form of a network: the same function, in layers that Caffe's own releases have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from caffezoo.errors import LoweringError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import BlobId, Layer
from caffezoo.net.layer_weights import Held
from caffezoo.net.registry import make_layer


def to_plain(network: Network) -> Network:
    """Rewrite layers of forks (Axpy, ConvolutionDepthwise, Clip, ``ceil_mode`` ...) in BVLC's own.

    Layers keep their names, so a caffemodel of the network binds to the plain form as it does to the network, except
    for constant blobs that a rewrite adds (they are part of the returned network's weights). Only a layer whose name an
    earlier one has gets one of its own.

    Raises
    ------
    LoweringError
        If a layer has no form in BVLC's layers.
    """
    plain = pb.NetParameter()
    lines: list[int] = []
    weights: dict[str, Sequence[Held]] = dict(network.weights.all_held())
    names = _blob_names(network)
    for node, line in zip(network.nodes, network.prototxt.lines, strict=True):
        if node.layer.is_input:
            plain.layer.append(_input(node))
            lines.append(line)
            continue
        layer = _renamed(node, names)
        form = layer.plain(node.bottom_shapes)
        if form is None:
            plain.layer.append(layer.proto)
            lines.append(line)
            continue
        plain.layer.extend(form.layers)
        lines += [line] * len(form.layers)
        own = weights.get(node.key, ())
        if own and form.moved:
            weights.update({name: [own[i] for i in indices] for name, indices in form.moved.items()})
        if node.key not in {made.name for made in form.layers}:
            weights.pop(node.key, None)
        weights.update(form.blobs)
    return network.rewritten(plain, lines, weights)


def as_deploy(network: Network) -> pb.NetParameter:
    """Return the network's layers with every data layer as an Input of the shapes that it runs at."""
    net = pb.NetParameter(name=network.name)
    net.layer.extend(_input(node) if node.layer.is_input else node.layer.proto for node in network.nodes)
    return net


def _blob_names(network: Network) -> dict[BlobId, str]:
    """Return a name for every version of every blob.

    Versions share their blob's name, as in-place layers do, except where an in-place layer becomes several layers:
    those may read their bottom more than once, so what they write needs another name than what they read. The last
    versions keep the blob's name, which may be an output's; of an input, the first.
    """
    splits: dict[str, list[int]] = defaultdict(list)
    for node in network.nodes:
        rewritten = {b.name for b in node.bottoms} & {t.name for t in node.tops}
        if rewritten and (form := node.layer.plain(node.bottom_shapes)) and len(form.layers) > 1:
            for top in node.tops:
                if top.name in rewritten:
                    splits[top.name].append(top.version)
    names = {}
    for node in network.nodes:
        for blob in node.tops:
            part = sum(version <= blob.version for version in splits[blob.name])
            kept = 0 if blob.name in network.inputs else len(splits[blob.name])
            names[blob] = blob.name if part == kept else f"{blob.name}/{part}"
    for name in set(network.outputs) & set(network.inputs):
        if splits[name]:
            raise LoweringError(f"output '{name}' has the name of an input", where=network.path)
    return names


def _renamed(node: Node, names: dict[BlobId, str]) -> Layer:
    """Return a node's layer on renamed blobs, and under its key where another layer has its name."""
    bottoms, tops = [names[b] for b in node.bottoms], [names[t] for t in node.named_tops]
    same = bottoms == list(node.layer.proto.bottom) and tops == list(node.layer.proto.top)
    if same and node.key == node.name:
        return node.layer
    proto = pb.LayerParameter()
    proto.CopyFrom(node.layer.proto)
    if node.key != node.name:
        proto.name = node.key
    proto.bottom[:] = bottoms
    proto.top[:] = tops
    return make_layer(proto, node.layer.where, node.layer.phase)


def _input(node: Node) -> pb.LayerParameter:
    """Return an Input layer of the shapes that the network runs at, also where a data layer fed it."""
    return pb.LayerParameter(
        name=node.key,
        type="Input",
        top=[t.name for t in node.tops],
        input_param={"shape": [{"dim": list(s)} for s in node.top_shapes]},
    )
