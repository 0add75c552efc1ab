"""Which layer a runtime's operator belongs to, after it has renamed, fused and added operators."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence

from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import BlobId

RUNTIME = "(runtime)"
"""Stands for operators that belong to no layer, as changes of layout."""

_PRODUCT = re.compile(r"Conv|Gemm|MatMul|FullyConnected")


def operator_owners(operators: Sequence[tuple[str, str]], network: Network) -> dict[str, str]:
    """Return the layer of every operator, :data:`RUNTIME` for those without one.

    An operator belongs to the layer that it is named after: the longest name that it begins with, for runtimes put
    more behind a name (``conv1/WithoutBiases``, ``fc/2``, ``relu1:0_nchwc``). ONNX Runtime names a fused operator after
    the last layer in it; a product is given to the nearest convolution or inner product before that.

    Parameters
    ----------
    operators : sequence of (str, str)
        Names and kinds, in order of execution.
    network : Network
    """
    names = sorted((node.name for node in network.nodes), key=len, reverse=True)
    nodes = {node.name: node for node in network.nodes}
    producers = {top: node for node in network.nodes for top in node.tops}
    found: dict[str, str] = {}
    for operator, kind in operators:
        owner = next((name for name in names if _begins_with(operator, name)), RUNTIME)
        if owner != RUNTIME and _PRODUCT.search(kind) and not nodes[owner].macs:
            owner = _product_before(nodes[owner], producers, set(found.values())) or owner
        found[operator] = owner
    return found


def _begins_with(operator: str, name: str) -> bool:
    return operator == name or (operator.startswith(name) and bool(re.match(r"\W|_", operator[len(name)])))


def _product_before(node: Node, producers: Mapping[BlobId, Node], taken: set[str]) -> str | None:
    """Return the nearest layer before this one that multiplies by weights and has no operator yet."""
    queue, seen = deque([node]), {node.name}
    while queue:
        for blob in reversed(queue.popleft().bottoms):
            producer = producers[blob]
            if producer.name in seen:
                continue
            seen.add(producer.name)
            if not producer.macs:
                queue.append(producer)
            elif producer.name not in taken:
                return producer.name
    return None
