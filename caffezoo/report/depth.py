"""How deep a network is, by one stated definition."""

from __future__ import annotations

from caffezoo.net.graph import Network
from caffezoo.net.layer import BlobId

DEFINITION = "layers with weights and multiply-accumulates (convolutions, inner products) on the longest path"


def network_depth(network: Network) -> int:
    """Return the number of layers that own blobs and multiply on the path that holds most of them.

    The count behind names such as ResNet-50: batch normalisation, scaling, pooling and activations are not in it; each
    half of a separable convolution is, and so are both inner products of a squeeze-and-excitation block.
    """
    deepest: dict[BlobId, int] = {}
    for node in network.nodes:
        own = 1 if node.macs and node.blob_shapes else 0
        depth = own + max((deepest[blob] for blob in node.bottoms), default=0)
        deepest.update(dict.fromkeys(node.tops, depth))
    return max(deepest.values(), default=0)
