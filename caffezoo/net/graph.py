"""The network: layers in order, the versions of their blobs, every shape, and the weights.

A :class:`Network` is immutable. What changes a network (another input size, folding, the plain-BVLC form) makes a new
NetParameter and from it a new network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np

from caffezoo.errors import NetworkError, UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.phases import check_structure, filter_net
from caffezoo.formats.prototxt import Prototxt, parse_prototxt, read_prototxt
from caffezoo.net.layer import BlobId, Layer, Shape, make_layer

Weights = Mapping[str, Sequence[np.ndarray]]


@dataclass(frozen=True)
class Node:
    """A layer at its place in the network, with the versions and shapes of its blobs."""

    layer: Layer
    bottoms: tuple[BlobId, ...]
    tops: tuple[BlobId, ...]
    bottom_shapes: tuple[Shape, ...]
    top_shapes: tuple[Shape, ...]
    blob_shapes: tuple[Shape, ...]

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def macs(self) -> int:
        return self.layer.macs(self.bottom_shapes, self.top_shapes)

    @property
    def parameter_count(self) -> int:
        return self.layer.parameter_count(self.bottom_shapes)


class Network:
    """A Caffe network with every shape inferred.

    Parameters
    ----------
    prototxt : Prototxt
        Upgraded and filtered for one phase.
    inputs : mapping of str to shape, optional
        Shapes that replace those which the prototxt declares (NCHW for images).
    weights : mapping of str to sequence of ndarray, optional
        Blobs by layer name, in Caffe's order and of the inferred shapes.

    Attributes
    ----------
    nodes : tuple of Node
    inputs : dict of str to shape
        Tops of the input layers.
    outputs : tuple of str
        Blobs that no layer reads, in order; Caffe's net outputs.
    weights : dict of str to tuple of ndarray
        Empty until weights are bound.
    notes : tuple of str
        Warnings of the file, the upgrade and the binding.

    Raises
    ------
    NetworkError
        A broken rule of Caffe; the message names file, line and layer.
    """

    def __init__(
        self, prototxt: Prototxt, inputs: Mapping[str, Shape] | None = None, weights: Weights | None = None
    ) -> None:
        check_structure(prototxt)
        self.prototxt = prototxt
        self.path = prototxt.path
        self.name = prototxt.net.name
        self.notes = prototxt.warnings
        self.inputs: dict[str, Shape] = {}
        self.nodes = self._infer(dict(inputs or {}))
        read = {b for node in self.nodes for b in node.bottoms}
        self.outputs = tuple(t.name for node in self.nodes for t in node.tops if t not in read)
        self.weights: dict[str, tuple[np.ndarray, ...]] = {k: tuple(v) for k, v in (weights or {}).items()}

    @classmethod
    def load(
        cls,
        prototxt: str | PathLike[str],
        weights: str | PathLike[str] | None = None,
        *,
        inputs: Mapping[str, Shape] | None = None,
        phase: int = pb.TEST,
        level: int = 0,
        stages: Sequence[str] = (),
    ) -> Network:
        """Read a prototxt and, where given, bind the weights of a caffemodel or HDF5 file to it."""
        net = cls(filter_net(read_prototxt(prototxt), phase, level, stages), inputs)
        return net if weights is None else net.with_weights_file(weights)

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        inputs: Mapping[str, Shape] | None = None,
        weights: Weights | None = None,
        phase: int = pb.TEST,
        path: str = "<string>",
    ) -> Network:
        """Build a network from prototxt text."""
        return cls(filter_net(parse_prototxt(text, path), phase), inputs, weights)

    @classmethod
    def from_proto(
        cls,
        net: pb.NetParameter,
        *,
        inputs: Mapping[str, Shape] | None = None,
        weights: Weights | None = None,
        path: str = "<net>",
    ) -> Network:
        """Build a network from an upgraded NetParameter."""
        return cls(Prototxt(net, path, (0,) * len(net.layer), ()), inputs, weights)

    def with_weights_file(self, path: str | PathLike[str]) -> Network:
        """Return this network with a file's weights bound by layer name.

        Raises
        ------
        WeightsFileError, BindingError
        """
        from caffezoo.formats.caffemodel import read_weights
        from caffezoo.net.binding import bind

        bound = bind(self, read_weights(path))
        net = self.with_weights(bound.weights)
        net.notes = (*self.notes, *bound.notes)
        return net

    def with_weights(self, weights: Weights) -> Network:
        """Return this network with these blobs, which must have the inferred shapes."""
        net = Network(self.prototxt, self.inputs, weights)
        for node in net.nodes:
            found = tuple(tuple(b.shape) for b in net.weights.get(node.name, ()))
            if found != node.blob_shapes:
                raise NetworkError(
                    f"blobs of shapes {list(node.blob_shapes)} wanted, {list(found)} given", where=node.layer.label
                )
        return net

    def reshaped(self, inputs: Mapping[str, Shape] | None = None, *, batch: int | None = None) -> Network:
        """Return this network at other input shapes, or at another batch size (axis 0 of every input)."""
        shapes = {**self.inputs, **(inputs or {})}
        if batch is not None:
            shapes = {name: (batch, *shape[1:]) for name, shape in shapes.items()}
        net = Network(self.prototxt, shapes, self.weights)
        net.notes = self.notes
        return net

    def resized(self, height: int, width: int | None = None, *, batch: int | None = None) -> Network:
        """Return this network at another image size (axes 2 and 3 of every 4-D input)."""
        size = (height, height if width is None else width)
        shapes = {n: (*s[:2], *size) for n, s in self.inputs.items() if len(s) == 4}
        return self.reshaped(shapes, batch=batch)

    @property
    def phase(self) -> int:
        """The phase that the layers were chosen for, ``TRAIN`` or ``TEST``."""
        return int(self.prototxt.net.state.phase)

    @property
    def parameter_count(self) -> int:
        """Learned values as publications count them (BatchNorm's factor blob is not one)."""
        return sum(node.parameter_count for node in self.nodes)

    @property
    def blob_element_count(self) -> int:
        """Values in all blobs: four bytes each in a caffemodel."""
        return sum(int(np.prod(s)) for node in self.nodes for s in node.blob_shapes)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a forward pass at the network's input shapes."""
        return sum(node.macs for node in self.nodes)

    def node(self, name: str) -> Node:
        """Return the node of a layer."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise UnknownNameError("layer", name, (n.name for n in self.nodes), where=self.path)

    def shape(self, blob: str) -> Shape:
        """Return the shape of the last version of a blob."""
        for node in reversed(self.nodes):
            for top, shape in zip(node.tops, node.top_shapes, strict=True):
                if top.name == blob:
                    return shape
        raise UnknownNameError("blob", blob, {t.name for n in self.nodes for t in n.tops}, where=self.path)

    def _infer(self, override: dict[str, Shape]) -> tuple[Node, ...]:
        shapes: dict[BlobId, Shape] = {}
        current: dict[str, BlobId] = {}
        nodes = []
        for proto, line in zip(self.prototxt.net.layer, self.prototxt.lines, strict=True):
            where = f"{self.path}:{line}" if line else self.path
            layer = make_layer(proto, where, self.prototxt.net.state.phase)
            bottoms = tuple(current[b] for b in proto.bottom)
            below = tuple(shapes[b] for b in bottoms)
            if layer.is_input:
                given = {t: override.pop(t) for t in proto.top if t in override}
                # A data layer may know its shape only from a database: then the caller's is all there is.
                known = [] if len(given) == len(proto.top) else layer.top_shapes(below)
                above = [tuple(given[t]) if t in given else tuple(known[i]) for i, t in enumerate(proto.top)]
                self.inputs.update(zip(proto.top, above, strict=True))
            else:
                above = [tuple(s) for s in layer.top_shapes(below)]
            for top, shape in zip(proto.top, above, strict=True):
                if any(d <= 0 for d in shape):
                    layer.fail(
                        f"top '{top}' would have shape {list(shape)} from bottoms {[list(b) for b in below]}",
                        "the input is too small for this network" if bottoms else "give an input shape",
                    )
            tops = []
            for top, shape in zip(proto.top, above, strict=True):
                if top in proto.bottom and not layer.in_place_allowed:
                    layer.fail("cannot run in place")
                blob = BlobId(top, current[top].version + 1 if top in current else 0)
                current[top] = blob
                shapes[blob] = shape
                tops.append(blob)
            nodes.append(
                Node(
                    layer, bottoms, tuple(tops), below, tuple(above), tuple(tuple(s) for s in layer.blob_shapes(below))
                )
            )
        if override:
            raise UnknownNameError("input", next(iter(override)), self.inputs, where=self.path)
        return tuple(nodes)
