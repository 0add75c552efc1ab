"""The 95 layers of Inception v3 under the names that kakugawa/MetalCNNWeights gives them.

Names are those of the 2015 TensorFlow graph with ``/`` as ``_``; the order is that of convert.py, which is also the
order of the layers in soeaver's, Keras' and this zoo's prototxts.
"""

from __future__ import annotations

from caffezoo.errors import LoweringError
from caffezoo.net.graph import Network

_STEM = ("conv", "conv_1", "conv_2", "conv_3", "conv_4")
_A = ("conv", "tower/conv", "tower/conv_1", "tower_1/conv", "tower_1/conv_1", "tower_1/conv_2", "tower_2/conv")
_REDUCTION_A = ("conv", "tower/conv", "tower/conv_1", "tower/conv_2")
_B = (
    "conv",
    *(f"tower/conv{i}" for i in ("", "_1", "_2")),
    *(f"tower_1/conv{i}" for i in ("", "_1", "_2", "_3", "_4")),
    "tower_2/conv",
)
_REDUCTION_B = ("tower/conv", "tower/conv_1", *(f"tower_1/conv{i}" for i in ("", "_1", "_2", "_3")))
_C = (
    "conv",
    *(f"tower/{name}" for name in ("conv", "mixed/conv", "mixed/conv_1")),
    *(f"tower_1/{name}" for name in ("conv", "conv_1", "mixed/conv", "mixed/conv_1")),
    "tower_2/conv",
)
_MODULES = (_A, _A, _A, _REDUCTION_A, _B, _B, _B, _B, _REDUCTION_B, _C, _C)

_KERNELS_A = "11 11 55 11 33 33 11"
_KERNELS_B = "11 11 17 71 11 71 17 71 17 11"
_KERNELS_C = "11 11 13 31 11 33 13 31 11"
_KERNELS = " ".join(
    ("33 33 33 11 33", *[_KERNELS_A] * 3, "33 11 33 33", *[_KERNELS_B] * 4, "11 33 11 17 71 33", *[_KERNELS_C] * 2)
).split()
"""Height and width of each convolution's kernel: what tells an Inception v3 from another network of 95 layers."""


def inception3_names(network: Network) -> tuple[str, ...]:
    """Return the names of the network's layers with weights, in order.

    Parameters
    ----------
    network : Network
        An Inception v3, folded: 94 convolutions and the classifier. Fully connected layers between them, which the
        original has not, keep their own names.

    Raises
    ------
    LoweringError
        It is another network, or another order of layers.
    """
    names = [*_STEM]
    for i, module in enumerate(_MODULES):
        prefix = "mixed" if i == 0 else f"mixed_{i}"
        names += [f"{prefix}/{name}" for name in module]
    nodes = [node for node in network.nodes if node.blob_shapes]
    found = ["".join(str(d) for d in node.blob_shapes[0][2:]) for node in nodes]
    head = nodes[len(_KERNELS) :]
    if found[: len(_KERNELS)] != _KERNELS or not head or any(found[len(_KERNELS) :]):
        first = next((n.name for n, k, w in zip(nodes, found, _KERNELS, strict=False) if k != w), None)
        what = f"its layer '{first}' is another" if first else f"it has {len(nodes)} layers with weights, not 95"
        raise LoweringError(f"no Inception v3 as the names are made for: {what}", where=network.path)
    return (*(name.replace("/", "_") for name in names), *(node.name for node in head[:-1]), "softmax")
