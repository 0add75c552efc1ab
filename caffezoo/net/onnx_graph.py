"""ONNX export: a loop over the layers, and the scope in which a layer writes its operators.

The model holds standard operators only, and every operator is named after its layer, so that a runtime's profile can be
read layer by layer. Its batch axis is free, unless a layer has no form with a free one: then all its shapes are fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.errors import BindingError, LoweringError
from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import BlobId, Shape
from caffezoo.net.transform import Transform

if TYPE_CHECKING:
    import onnx

OPSET = 17


class OnnxGraph:
    """Operators and constants of a model under construction."""

    def __init__(self) -> None:
        self.operators: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.fixed_batch = False
        self._names: set[str] = set()
        self._small: dict[tuple[str, Shape, bytes], str] = {}

    def op(self, kind: str, inputs: Sequence[str], *, name: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Append an operator; return the names of its outputs."""
        from onnx import helper

        name = self._unique(name)
        tops = [f"{name}:{i}" for i in range(outputs)]
        self.operators.append(helper.make_node(kind, list(inputs), tops, name=name, **attributes))
        return tops

    def const(self, value: np.ndarray, name: str) -> str:
        """Append a constant and return its name; small equal constants are shared."""
        from onnx import numpy_helper

        value = np.asarray(value, order="C")  # ascontiguousarray would make a scalar a vector
        key = (str(value.dtype), value.shape, value.tobytes()) if value.size <= 16 else None
        if key and key in self._small:
            return self._small[key]
        name = self._unique(name)
        self.constants.append(numpy_helper.from_array(value, name))
        if key:
            self._small[key] = name
        return name

    def _unique(self, name: str) -> str:
        candidate, k = name, 1
        while candidate in self._names:
            k += 1
            candidate = f"{name}/{k}"
        self._names.add(candidate)
        return candidate


class LayerScope:
    """What a layer sees while it writes its ONNX form.

    Attributes
    ----------
    bottoms : list of str
        Tensor names.
    bottom_shapes, top_shapes : tuple of shape
        At the network's own batch size: only axes after the first may be written into the model, unless the layer
        calls :meth:`fix_batch`.
    blobs : tuple of ndarray
        The layer's learned blobs, float32.
    """

    def __init__(self, graph: OnnxGraph, node: Node, bottoms: list[str], blobs: tuple[np.ndarray, ...]) -> None:
        self._graph = graph
        self.node = node
        self.bottoms = bottoms
        self.bottom_shapes = node.bottom_shapes
        self.top_shapes = node.top_shapes
        self.blobs = blobs

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append an operator with one output; an empty input name is an omitted optional input."""
        return self._graph.op(kind, inputs, name=self.node.name, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Append an operator with several outputs."""
        return self._graph.op(kind, inputs, name=self.node.name, outputs=outputs, **attributes)

    def const(self, value: np.ndarray | float | Sequence[float], dtype: Any = np.float32) -> str:
        """Append a constant (float32 unless said otherwise)."""
        return self._graph.const(np.asarray(value, dtype=dtype), f"{self.node.name}/const")

    def ints(self, values: Sequence[int]) -> str:
        """Append a constant list of int64 (shapes, axes, pads)."""
        return self._graph.const(np.asarray(values, np.int64), f"{self.node.name}/const")

    def blob(self, index: int) -> str:
        """Append one of the layer's blobs as a constant."""
        return self._graph.const(self.blobs[index], f"{self.node.name}/blob{index}")

    def reshape(self, x: str, dims: Sequence[int]) -> str:
        """Append a Reshape; 0 copies the axis at the same place (use it for the batch), one -1 is inferred."""
        return self.op("Reshape", x, self.ints(dims))

    def fix_batch(self) -> None:
        """Say that the layer's form holds at the network's own shapes only: the model's batch axis is not free then."""
        self._graph.fixed_batch = True

    def refuse(self, message: str) -> LoweringError:
        """Return the error to raise where no exact form exists."""
        return LoweringError(message, where=self.node.layer.label)


def output_name(network: Network, blob: str) -> str:
    """Return the name of a blob among a model's outputs.

    It is the blob's own, unless an input has it (a blob that nothing reads, or that was rewritten in place): ONNX wants
    every name once, so that such an output is called ``<blob>/out``.
    """
    return f"{blob}/out" if blob in network.inputs else blob


def to_onnx(
    network: Network,
    *,
    outputs: Sequence[str] | None = None,
    transform: Transform | None = None,
    input_dtype: str = "float32",
) -> onnx.ModelProto:
    """Export a network with weights.

    Parameters
    ----------
    network : Network
    outputs : sequence of str, optional
        Blobs to return; the network's outputs if not given.
    transform : Transform, optional
        If given, the single input takes images as they come, (N, H, W, 3) in BGR order, and normalisation and layout
        are part of the model. Otherwise inputs are Caffe's blobs.
    input_dtype : {"float32", "uint8"}
        Type of the image input; only with ``transform``.

    Returns
    -------
    onnx.ModelProto
        Inputs and outputs carry the blobs' names (:func:`output_name`); axis 0 is the free axis ``N``, unless inputs
        differ in it or a layer has no such form.

    Raises
    ------
    BindingError
        If a layer has no weights.
    LoweringError
        If a layer's configuration has no exact ONNX form.
    """
    from onnx import TensorProto, helper

    graph = OnnxGraph()
    tensors: dict[BlobId, str] = {}
    inputs: list[tuple[str, int, Shape]] = []
    nodes = needed_nodes(network, outputs)
    for node in nodes:
        if node.layer.is_input:
            for blob, shape in zip(node.tops, node.top_shapes, strict=True):
                if transform is None:
                    tensors[blob] = blob.name
                    inputs.append((blob.name, TensorProto.FLOAT, shape))
                elif not inputs:
                    tensors[blob] = _image_input(graph, blob.name, transform)
                    kind = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}[input_dtype]
                    inputs.append((blob.name, kind, (shape[0], *shape[2:], shape[1])))
            continue
        blobs = network.weights.get(node.key, ())
        if len(blobs) != len(node.blob_shapes):
            raise BindingError("has no weights", where=node.layer.label, hint="load a caffemodel first")
        scope = LayerScope(graph, node, [tensors[b] for b in node.bottoms], blobs)
        tensors.update(zip(node.tops, node.layer.onnx(scope), strict=True))
    final: list[tuple[str, int, Shape]] = []
    varying: dict[str, int] = {}
    last = {t.name: (t, s) for node in nodes for t, s in zip(node.tops, node.top_shapes, strict=True)}
    for name in outputs if outputs is not None else network.outputs:
        blob, shape = last[name]
        top = output_name(network, name)
        graph.operators.append(helper.make_node("Identity", [tensors[blob]], [top], name=f"output {name}"))
        final.append((top, TensorProto.FLOAT, shape))
        maker = next(node.layer for node in nodes if blob in node.tops)
        if maker.bounded_axis is not None:
            varying[top] = maker.bounded_axis
    batches = {shape[:1] for _, _, shape in inputs}
    free = batches.pop() if len(batches) == 1 and not graph.fixed_batch else None
    infos = [
        [
            helper.make_tensor_value_info(name, kind, _dims(shape, free, varying.get(name)))
            for name, kind, shape in ports
        ]
        for ports in (inputs, final)
    ]
    model_graph = helper.make_graph(graph.operators, network.name or "net", *infos, graph.constants)
    return helper.make_model(
        model_graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="caffezoo"
    )


def _dims(shape: Shape, free: Shape | None, varying: int | None) -> list[str | int | None]:
    """Return the shape of a model's input or output; ``free`` is the size of a batch axis that is free, in a tuple, and
    ``varying`` an axis whose length only data give."""
    if varying is not None:
        return [None if axis == varying else size for axis, size in enumerate(shape)]
    if free is None or not shape:
        return list(shape)
    return ["N" if shape[:1] == free else None, *shape[1:]]


def needed_nodes(network: Network, outputs: Sequence[str] | None) -> list[Node]:
    """Return the nodes that the wanted outputs depend on, in order; all outputs of the network if None."""
    wanted = set(network.outputs if outputs is None else outputs)
    missing = wanted - {t.name for n in network.nodes for t in n.tops}
    if missing:
        network.shape(min(missing))  # raises with the nearest names
    newest = {t.name: t for node in network.nodes for t in node.tops}
    live = {newest[name] for name in wanted}
    keep = []
    for node in reversed(network.nodes):
        if live.intersection(node.tops):
            keep.append(node)
            live.update(node.bottoms)
    return keep[::-1]


def _image_input(graph: OnnxGraph, name: str, transform: Transform) -> str:
    """Append cast, normalisation and layout change; return the NCHW tensor."""
    from onnx import TensorProto

    x = graph.op("Cast", [name], name=f"{name}/cast", to=TensorProto.FLOAT)
    x = graph.op("Transpose", x, name=f"{name}/nchw", perm=[0, 3, 1, 2])
    mean = np.array(transform.mean, np.float32).reshape(1, -1, 1, 1)
    scale = (1.0 / np.array(transform.std)).astype(np.float32).reshape(1, -1, 1, 1)
    if mean.any():
        x = graph.op("Sub", [x[0], graph.const(mean, f"{name}/mean")], name=f"{name}/sub")
    if (scale != 1).any():
        x = graph.op("Mul", [x[0], graph.const(scale, f"{name}/scale")], name=f"{name}/mul")
    return x[0]
