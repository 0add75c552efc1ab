"""A generated network held against what is known of the published one: names, shapes, counts and map sizes."""

from __future__ import annotations

from typing import NamedTuple

from caffezoo.net.graph import Network
from caffezoo.zoo.architectures.registry import architectures
from tests.zoo.architectures.arithmetic import digest


class Published(NamedTuple):
    """What a published file comes to at its own input size."""

    parameters: int  # Caffe's blobs, the factor of each BatchNorm included
    macs: int
    weights: str  # digest of "layer,type,blob shapes" lines, in order


def generated(directory: str, name: str, size_px: int | None = None) -> Network:
    """Return the network of a generator, at its own input size or another one."""
    text = architectures()[f"prototxt/{directory}/deploy_{name}.prototxt"].build().to_prototxt()
    return Network.from_text(text, inputs={"data": (1, 3, size_px, size_px)} if size_px else None, path=name)


def assert_as_published(net: Network, published: Published) -> None:
    factors = sum(node.layer.proto.type == "BatchNorm" for node in net.nodes)
    assert sum(node.parameter_count for node in net.nodes) + factors == published.parameters
    assert sum(node.macs for node in net.nodes) == published.macs
    assert digest(weight_lines(net)) == published.weights


def weight_lines(net: Network) -> str:
    """``layer,type,blob shapes`` a line for every layer that owns weights, as the reference tables list them."""
    shapes = ((n, " ".join("x".join(map(str, s)) for s in n.blob_shapes)) for n in net.nodes if n.blob_shapes)
    return "".join(f"{n.name},{n.layer.proto.type},{s}\n" for n, s in shapes)


def edges(net: Network, *layers: str) -> list[int]:
    """Return the height in pixels of the first top of each of these layers."""
    heights = {node.name: node.top_shapes[0][2] for node in net.nodes if [*map(len, node.top_shapes[:1])] == [4]}
    return [heights[name] for name in layers]


def output_shape(net: Network) -> tuple[int, ...]:
    return net.nodes[-1].top_shapes[0]
