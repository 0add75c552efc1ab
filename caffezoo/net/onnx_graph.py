"""ONNX export: a loop over the layers, and the scope in which a layer writes its operators.

The model's batch axis is free wherever the network's is, it holds standard operators only, and every operator is named
after its layer, so that a runtime's profile can be read layer by layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.errors import BindingError, LoweringError
from caffezoo.net.batch import BatchAxis, batch_axis
from caffezoo.net.cutting import cut
from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import BlobId, Shape
from caffezoo.net.onnx_arrays import LARGE_BYTES, placeholder
from caffezoo.net.onnx_image import image_input
from caffezoo.net.transform import Transform

if TYPE_CHECKING:
    import onnx

OPSET = 17


class _FixedBatchError(Exception):
    """A layer has no form with a free batch axis."""


class OnnxGraph:
    """Operators and constants of a model under construction.

    Parameters
    ----------
    arrays : dict, optional
        Where large constants are kept by name; in the model itself if not given.
    """

    def __init__(self, arrays: dict[str, np.ndarray] | None = None) -> None:
        self._arrays = arrays
        self.operators: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
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
        if self._arrays is not None and value.nbytes >= LARGE_BYTES:
            self._arrays[name] = value
            self.constants.append(placeholder(name, value))
        else:
            self.constants.append(numpy_helper.from_array(value, name))
        if key:
            self._small[key] = name
        return name

    def reserve(self, names: Iterable[str]) -> None:
        """Take names that are used elsewhere in the model."""
        self._names.update(names)

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
        At the network's own batch size: only axes after the first may be written into the model, the first one as well
        after a call of :meth:`fix_batch`.
    blobs : tuple of ndarray
        The layer's learned blobs, float32.
    """

    def __init__(
        self, graph: OnnxGraph, node: Node, bottoms: list[str], blobs: tuple[np.ndarray, ...], *, free_batch: bool
    ) -> None:
        self._graph = graph
        self._free_batch = free_batch
        self.node = node
        self.bottoms = bottoms
        self.bottom_shapes = node.bottom_shapes
        self.top_shapes = node.top_shapes
        self.blobs = blobs

    def for_part(self, node: Node, bottoms: list[str] | None = None, blobs: tuple[np.ndarray, ...] = ()) -> LayerScope:
        """Return the scope of a layer that is a part of this one, on the same bottoms if none are given."""
        return LayerScope(
            self._graph, node, self.bottoms if bottoms is None else bottoms, blobs, free_batch=self._free_batch
        )

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
        """Say that the layer's form holds at the network's own shapes only: the model is then written at these."""
        if self._free_batch:
            raise _FixedBatchError

    def refuse(self, message: str) -> LoweringError:
        """Return the error to raise where no exact form exists."""
        return LoweringError(message, where=self.node.layer.label)


def to_onnx(
    network: Network,
    *,
    outputs: Sequence[str] | None = None,
    transform: Transform | None = None,
    input_dtype: str = "float32",
    arrays: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    """Export a network with weights.

    Parameters
    ----------
    network : Network
    outputs : sequence of str, optional
        Blobs to return; the network's outputs if not given.
    transform : Transform, optional
        If given, the single input takes images as they come, (N, H, W, C), and normalisation and layout
        are part of the model. Otherwise inputs are Caffe's blobs.
    input_dtype : {"float32", "uint8"}
        Type of the image input; only with ``transform``.
    arrays : dict, optional
        An empty mapping that takes the large constants by name, which are then not in the model and not copied; see
        :mod:`caffezoo.net.onnx_arrays`.

    Returns
    -------
    onnx.ModelProto
        Its inputs are those that the outputs depend on. Inputs and outputs carry the blobs' names, see
        :func:`output_names`. Axis 0 is the free axis ``N``, or, where the network is tied to its batch size
        (:mod:`caffezoo.net.batch`), of that size.

    Raises
    ------
    BindingError
        If a layer has no weights.
    LoweringError
        If a layer's configuration has no exact ONNX form.
    """
    names = tuple(network.outputs if outputs is None else outputs)
    needed = cut(network, names)
    axis = batch_axis(needed)
    if axis.free:
        try:
            return _Export(needed, names, axis, arrays, free_batch=True).model(transform, input_dtype)
        except _FixedBatchError:
            if arrays is not None:
                arrays.clear()
    return _Export(needed, names, axis, arrays, free_batch=False).model(transform, input_dtype)


def output_names(network: Network, outputs: Sequence[str] | None = None, *, images: bool = False) -> dict[str, str]:
    """Return how an exported model calls every output.

    By the blob's name; only a blob that is an input and then rewritten in place is called ``<name>/<times>``, because
    ONNX gives every value a name of its own. Where the model takes ``images``, the input blob is not its input.
    """
    newest = {top.name: top for node in network.nodes for top in node.tops}
    taken = set(newest)
    names = {}
    for name in network.outputs if outputs is None else outputs:
        called = name
        if name in network.inputs and (newest[name].version or images):
            called = f"{name}/{newest[name].version}"
            while called in taken:
                called += "/"
        names[name] = called
    return names


class _Export:
    """One network becoming one model."""

    def __init__(
        self,
        network: Network,
        outputs: Sequence[str],
        axis: BatchAxis,
        arrays: dict[str, np.ndarray] | None,
        *,
        free_batch: bool,
    ) -> None:
        self.network = network
        self.outputs = outputs
        self.axis = axis
        self.free_batch = free_batch
        self.graph = OnnxGraph(arrays)
        self.tensors: dict[BlobId, str] = {}

    def model(self, transform: Transform | None, input_dtype: str) -> onnx.ModelProto:
        from onnx import helper

        inputs = self._inputs(transform, input_dtype)
        for node in self.network.nodes:
            if not node.layer.is_input:
                self._layer(node)
        outputs = self._outputs(images=transform is not None)
        graph = self.graph
        made = helper.make_graph(graph.operators, self.network.name or "net", inputs, outputs, graph.constants)
        return helper.make_model(
            made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="caffezoo"
        )

    def _inputs(self, transform: Transform | None, input_dtype: str) -> list[onnx.ValueInfoProto]:
        from onnx import TensorProto, helper

        found = []
        for name, shape in self.network.inputs.items():
            blob = BlobId(name, 0)
            batch: list[int | str] = ["N"] if self.free_batch else list(shape[:1])
            if transform is None:
                self.tensors[blob] = name
                found.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [*batch, *shape[1:]]))
            else:
                self.tensors[blob] = image_input(self.graph, name, transform)
                kind = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}[input_dtype]
                found.append(helper.make_tensor_value_info(name, kind, [*batch, *shape[2:], shape[1]]))
        return found

    def _layer(self, node: Node) -> None:
        blobs = self.network.weights.get(node.key, ())
        if len(blobs) != len(node.blob_shapes):
            raise BindingError("has no weights", where=node.layer.label, hint="load a caffemodel first")
        bottoms = [self.tensors[b] for b in node.bottoms]
        scope = LayerScope(self.graph, node, bottoms, blobs, free_batch=self.free_batch)
        self.tensors.update(zip(node.tops, node.layer.onnx(scope), strict=True))

    def _outputs(self, *, images: bool) -> list[onnx.ValueInfoProto]:
        from onnx import TensorProto, helper

        found = []
        newest = {top.name: top for node in self.network.nodes for top in node.tops}
        for name, called in output_names(self.network, self.outputs, images=images).items():
            blob = newest[name]
            if self.tensors[blob] != called:  # an input that nothing rewrites is an output as it stands
                operator = helper.make_node("Identity", [self.tensors[blob]], [called], name=f"output {called}")
                self.graph.operators.append(operator)
            found.append(helper.make_tensor_value_info(called, TensorProto.FLOAT, self._dims(blob)))
        return found

    def _dims(self, blob: BlobId) -> list[int | str]:
        """Return a blob's axes: ``N`` where one is the batch, a name of its own where it follows that, or the data."""
        shape, batch = self.network.blob_shape(blob), self.network.batch
        varying = next(node.layer.bounded_axis for node in self.network.nodes if blob in node.tops)
        dims: list[int | str] = []
        for i, size in enumerate(shape):
            larger = self.axis.larger[blob][i] if self.free_batch else size
            follows = "N" if (size, larger) == (batch, size + 1) else f"{blob.name}.{i}"
            dims.append(size if size == larger and i != varying else follows)
        return dims
