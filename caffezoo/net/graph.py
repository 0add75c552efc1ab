"""The network: layers in order, the versions of their blobs, every shape, and the weights.

A :class:`Network` is immutable: its mappings are read-only, and what changes a network (another input size, folding,
the plain-BVLC form) makes a new one that keeps path, lines, phase and notes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import Any

import numpy as np

from caffezoo.errors import BindingError, UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.caffemodel import read_weights
from caffezoo.formats.cutting import cut_prototxt
from caffezoo.formats.layer_keys import layer_keys
from caffezoo.formats.phases import check_structure, filter_net
from caffezoo.formats.prototxt import Prototxt, parse_prototxt, read_prototxt
from caffezoo.net.binding import bind
from caffezoo.net.given_shapes import with_given_inputs
from caffezoo.net.layer import BlobId, Shape
from caffezoo.net.layer_weights import LayerWeights
from caffezoo.net.node import Node, Weights, check_finite, check_sizes, shared_blobs
from caffezoo.net.refusals import check_fields, check_layers, check_types, surplus_params
from caffezoo.net.registry import is_known, make_layer

__all__ = ["Network", "Node", "Weights"]


class Network:
    """A Caffe network with every shape inferred.

    Parameters
    ----------
    prototxt : Prototxt
        Upgraded and filtered for one phase.
    inputs : mapping of str to shape, optional
        Shapes that replace those which the prototxt declares (NCHW for images).
    weights : mapping of str to sequence of ndarray, optional
        Blobs by :attr:`Node.key` (the layer's name, where no other layer has it), in Caffe's order and of the inferred
        shapes.
    notes : iterable of str
        Warnings that came before.

    Attributes
    ----------
    nodes : tuple of Node
    inputs : mapping of str to shape
        Tops of the input layers.
    outputs : tuple of str
        Blobs that no layer reads, in order; Caffe's net outputs. Those that layers would only write to files too.
    weights : LayerWeights
        Mapping of :attr:`Node.key` to a tuple of ndarray; empty until weights are bound. Large blobs of a large file
        are read when they are asked for, each time that nobody else has them.
    notes : tuple of str
        Warnings of the file, the upgrade and the binding.

    Raises
    ------
    PrototxtError, NetworkError
        A broken rule of Caffe; the message names file, line and layer.
    """

    def __init__(
        self,
        prototxt: Prototxt,
        inputs: Mapping[str, Shape] | None = None,
        weights: Weights | None = None,
        *,
        notes: Iterable[str] = (),
    ) -> None:
        check_layers(prototxt)
        structure = check_structure(prototxt)
        self.prototxt = with_given_inputs(prototxt, inputs or {}, is_known)
        check_types(self.prototxt)
        passed_over = check_fields(self.prototxt)
        self.path = prototxt.path
        self.name = prototxt.net.name
        found: dict[str, Shape] = {}
        self.nodes = self._infer(dict(inputs or {}), found)
        said = (*prototxt.warnings, *structure, *passed_over, *surplus_params(self.nodes), *notes)
        self.notes = tuple(dict.fromkeys(said))
        self.inputs: Mapping[str, Shape] = MappingProxyType(found)
        shared_blobs(self.nodes)
        read = {b for node in self.nodes for b in node.bottoms if not node.layer.writes}
        self.outputs = tuple(t.name for node in self.nodes for t in node.named_tops if t not in read)
        self.weights = LayerWeights(weights)
        for node in self.nodes:
            if node.key in self.weights:
                node.check_blobs(self.weights.held(node.key))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "inputs": dict(self.inputs), "weights": dict(self.weights)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.inputs, self.weights = MappingProxyType(state["inputs"]), LayerWeights(state["weights"])

    def __copy__(self) -> Network:
        other = object.__new__(type(self))  # not by way of its state, for which every blob would be read
        other.__dict__.update(self.__dict__)
        return other

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
        outputs: Sequence[str] | None = None,
        lenient: bool = False,
    ) -> Network:
        """Read a prototxt and, where given, bind the weights of a caffemodel or HDF5 file to it.

        With ``outputs`` only the layers that these blobs depend on are read: other layers may be of any type.
        ``lenient`` passes over fields that Caffe does not have, with a note.
        """
        found = filter_net(read_prototxt(prototxt, lenient=lenient), phase, level, stages)
        net = cls(found if outputs is None else cut_prototxt(found, outputs), inputs)
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
        bound = bind(self.nodes, read_weights(path, later=True), self.prototxt.left_out)
        return self._with(bound.weights, bound.notes)

    def with_weights(self, weights: Weights) -> Network:
        """Return this network with these blobs, which must be finite and have the inferred shapes.

        Raises
        ------
        BindingError
            If a layer's blobs are missing, of another shape, or not finite.
        """
        for node in self.nodes:
            blobs = tuple(weights.get(node.key, ()))
            node.check_blobs(blobs)
            for i, blob in enumerate(blobs):
                check_finite(np.asarray(blob), i, node.layer.label)
        return self._with(weights)

    def _with(self, weights: Weights, notes: Iterable[str] = ()) -> Network:
        other = copy.copy(self)
        other.weights = LayerWeights(weights)
        other.notes = tuple(dict.fromkeys((*self.notes, *notes)))
        return other

    def rewritten(
        self, net: pb.NetParameter, lines: Sequence[int], weights: Weights, *, inputs: Mapping[str, Shape] | None = None
    ) -> Network:
        """Return a network of other layers that was made from this one: it keeps path, state and notes.

        Parameters
        ----------
        net : NetParameter
            Its name and state are taken from this network.
        lines : sequence of int
            Source line of every layer of ``net``; 0 where it has none.
        """
        net.name = self.name
        net.state.CopyFrom(self.prototxt.net.state)
        return Network(Prototxt(net, self.path, tuple(lines), ()), inputs, weights, notes=self.notes)

    def reshaped(self, inputs: Mapping[str, Shape] | None = None, *, batch: int | None = None) -> Network:
        """Return this network at other input shapes, or at another batch size (axis 0 of :attr:`batch_inputs`).

        Raises
        ------
        ShapeError
            If a layer cannot take these shapes.
        BindingError
            If it has weights and they do not fit these shapes (fully connected layers fit one input size).
        """
        shapes = {**self.inputs, **(inputs or {})}
        if batch is not None:
            shapes.update({name: (batch, *shapes[name][1:]) for name in self.batch_inputs})
        if shapes == self.inputs:
            return self
        try:
            return Network(self.prototxt, shapes, self.weights, notes=self.notes)
        except BindingError as error:
            made_for = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in self.inputs.items())
            error.hint = f"they are made for {made_for}"
            raise

    def resized(self, height: int, width: int | None = None, *, batch: int | None = None) -> Network:
        """Return this network at another image size (axes 2 and 3 of every 4-D input)."""
        size = (height, height if width is None else width)
        shapes = {n: (*s[:2], *size) for n, s in self.inputs.items() if len(s) == 4}
        return self.reshaped(shapes, batch=batch)

    @property
    def batch_inputs(self) -> tuple[str, ...]:
        """The inputs that hold one sample a place of axis 0: those as long there as the first input, which does.

        An image and its label do; a list of 300 regions beside one image does not.
        """
        size = self.batch
        return tuple(name for name, shape in self.inputs.items() if size is not None and shape[:1] == (size,))

    @property
    def batch(self) -> int | None:
        """Samples at its present shapes: axis 0 of the first input; None where that has no axis, or there is none."""
        first = next(iter(self.inputs.values()), ())
        return first[0] if first else None

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
        return sum(math.prod(s) for node in self.nodes for s in node.blob_shapes)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a forward pass at the network's input shapes."""
        return sum(node.macs for node in self.nodes)

    def node(self, name: str) -> Node:
        """Return the node of a layer, by its key."""
        for node in self.nodes:
            if node.key == name:
                return node
        raise UnknownNameError("layer", name, (n.key for n in self.nodes), where=self.path)

    def shape(self, blob: str) -> Shape:
        """Return the shape of the last version of a blob."""
        for node in reversed(self.nodes):
            for top, shape in zip(node.tops, node.top_shapes, strict=True):
                if top.name == blob:
                    return shape
        raise UnknownNameError("blob", blob, {t.name for n in self.nodes for t in n.tops}, where=self.path)

    def blob_shape(self, blob: BlobId) -> Shape:
        """Return the shape of one version of a blob."""
        return next(s for node in self.nodes for top, s in zip(node.tops, node.top_shapes, strict=True) if top == blob)

    def _infer(self, override: dict[str, Shape], inputs: dict[str, Shape]) -> tuple[Node, ...]:
        shapes: dict[BlobId, Shape] = {}
        current: dict[str, BlobId] = {}
        nodes = []
        keys = layer_keys(proto.name for proto in self.prototxt.net.layer)
        for proto, line, key in zip(self.prototxt.net.layer, self.prototxt.lines, keys, strict=True):
            where = f"{self.path}:{line}" if line else self.path
            layer = make_layer(proto, where, self.prototxt.net.state.phase)
            bottoms = tuple(current[b] for b in proto.bottom)
            below = tuple(shapes[b] for b in bottoms)
            if layer.is_input:
                above = layer.input_shapes({t: override.pop(t) for t in proto.top if t in override})
                inputs.update(zip(proto.top, above, strict=True))
            else:
                above = [tuple(s) for s in layer.top_shapes(below)]
            names = [*proto.top, *[""] * (layer.top_number - len(proto.top))]
            for top, shape in zip(names, above, strict=True):
                if any(d <= 0 for d in shape):
                    layer.fail(
                        f"top '{top}' would have shape {list(shape)} from bottoms {[list(b) for b in below]}",
                        "the input is too small for this network" if bottoms else "give an input shape",
                    )
            tops = []
            for top, shape in zip(names, above, strict=True):
                if top in proto.bottom and not layer.in_place_allowed:
                    layer.fail("cannot run in place")
                blob = BlobId(top, current[top].version + 1 if top in current else 0)
                current[top] = blob
                shapes[blob] = shape
                tops.append(blob)
            blobs = tuple(tuple(s) for s in layer.blob_shapes(below))
            check_sizes(layer, above, blobs)
            nodes.append(Node(layer, bottoms, tuple(tops), below, tuple(above), blobs, key))
        if override:
            raise UnknownNameError("input", next(iter(override)), inputs, where=self.path)
        return tuple(nodes)
