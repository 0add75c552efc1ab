"""A network's graph and layers for its page; made apart from the rest, so that processes can share the work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from caffezoo.formats.image_size import Size
from caffezoo.report.costs import cost_of

_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")


@dataclass(frozen=True)
class LayerLine:
    """A row of the layer table; ``output`` are the shapes of its tops, batch first."""

    name: str
    type: str
    output: str
    parameters: int
    macs: int


@dataclass(frozen=True)
class Anatomy:
    """What a prototxt says at one input size.

    Attributes
    ----------
    svg : str
        The graph, an ``svg`` element.
    layers : tuple of LayerLine
    inputs, outputs : str
        Blobs with their shapes.
    notes : tuple of str
        What the reader of the prototxt has to say of it.
    cost : dict of str to int
        See :func:`caffezoo.report.costs.cost_of`.
    """

    svg: str
    layers: tuple[LayerLine, ...]
    inputs: str
    outputs: str
    notes: tuple[str, ...]
    cost: dict[str, int]


def read_anatomy(prototxt: Path, size: int | str) -> Anatomy:
    """Read a prototxt at an input size in px, draw it, and list its layers.

    Raises
    ------
    ZooError
        It cannot be read, or not at this size.
    """
    from caffezoo.net.drawing import draw_svg
    from caffezoo.net.graph import Network

    network = Network.load(prototxt).resized(*Size.of(size), batch=1)
    layers = tuple(
        LayerLine(node.name, node.layer.type, ", ".join(map(_shape, node.top_shapes)), node.parameter_count, node.macs)
        for node in network.nodes
    )
    return Anatomy(
        _NOT_TEXT.sub("\ufffd", draw_svg(network)),
        layers,
        ", ".join(f"{name} {_shape(shape)}" for name, shape in network.inputs.items()),
        ", ".join(f"{name} {_shape(network.shape(name))}" for name in network.outputs),
        tuple(map(str, network.notes)),
        cost_of(network),
    )


def read_all(wanted: Iterable[tuple[Path, int]], jobs: int) -> Iterator[Anatomy]:
    """Yield the anatomy of each prototxt at its size, in order, with so many processes.

    Raises
    ------
    ZooError
        The first that cannot be read.
    """
    wanted = list(wanted)
    if jobs <= 1 or len(wanted) <= 1:
        yield from (read_anatomy(*item) for item in wanted)
        return
    with ProcessPoolExecutor(min(jobs, len(wanted))) as pool:
        yield from pool.map(read_anatomy, *zip(*wanted, strict=True), chunksize=2)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"
