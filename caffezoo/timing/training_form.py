"""The form of a network that real Caffe times: its plain layers, with something to go backward from."""

from __future__ import annotations

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.net.plain import to_plain


def training_form(network: Network) -> tuple[pb.NetParameter, Network]:
    """Return the plain form with the network's outputs as losses, and the plain network with its weights.

    A deploy file has no loss, so Caffe finds no layer in need of a gradient: pycaffe's backward pass does nothing at
    all, and ``caffe time`` computes the gradients of weights but not those of blobs (ReLU and pooling take a
    microsecond). With ``loss_weight: 1`` on the outputs every gradient is computed that training computes.
    """
    plain = to_plain(network)
    net = pb.NetParameter()
    net.CopyFrom(plain.prototxt.net)
    read = {b for node in plain.nodes for b in node.bottoms}
    for layer, node in zip(net.layer, plain.nodes, strict=True):
        open_tops = [top not in read for top in node.tops]
        if node.layer.differentiable and not node.layer.is_input and any(open_tops) and not layer.loss_weight:
            layer.loss_weight.extend(float(is_open) for is_open in open_tops)
    return net, plain
