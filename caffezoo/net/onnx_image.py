"""Images as the input of an ONNX model: cast, layout and normalisation before the first layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from caffezoo.net.transform import Transform

if TYPE_CHECKING:
    import onnx

    from caffezoo.net.onnx_graph import OnnxGraph


def with_image_input(
    model: onnx.ModelProto, transform: Transform, input_dtype: str = "float32", *, reverse: bool = False
) -> onnx.ModelProto:
    """Return a model that takes images in place of its one blob; see ``transform`` of :func:`to_onnx`.

    Parameters
    ----------
    model : onnx.ModelProto
        With one input, N x C x H x W; it stays as it is.
    transform : Transform
        In the order of the blob's channels.
    input_dtype : {"float32", "uint8"}
    reverse : bool
        The images' channels come in the opposite order.
    """
    import onnx

    from caffezoo.net.onnx_graph import OnnxGraph

    (blob,) = model.graph.input
    graph = OnnxGraph()
    graph.reserve(node.name for node in model.graph.node)
    graph.reserve(tensor.name for tensor in model.graph.initializer)
    normalised = image_input(graph, blob.name, transform, reverse)
    found = onnx.ModelProto()
    found.CopyFrom(model)
    for node in found.graph.node:
        node.input[:] = [normalised if name == blob.name else name for name in node.input]
    rest = list(found.graph.node)
    del found.graph.node[:]
    found.graph.node.extend([*graph.operators, *rest])
    found.graph.initializer.extend(graph.constants)
    batch, channels, *spatial = (dim.dim_param or dim.dim_value for dim in blob.type.tensor_type.shape.dim)
    kind = {"uint8": onnx.TensorProto.UINT8, "float32": onnx.TensorProto.FLOAT}[input_dtype]
    found.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info(blob.name, kind, [batch, *spatial, channels]))
    return found


def image_input(graph: OnnxGraph, name: str, transform: Transform, reverse: bool = False) -> str:
    """Append cast, normalisation and layout change; return the NCHW tensor."""
    from onnx import TensorProto

    x = graph.op("Cast", [name], name=f"{name}/cast", to=TensorProto.FLOAT)
    x = graph.op("Transpose", x, name=f"{name}/nchw", perm=[0, 3, 1, 2])
    if reverse:
        order = graph.const(np.array([2, 1, 0]), f"{name}/order")
        x = graph.op("Gather", [x[0], order], name=f"{name}/order", axis=1)
    mean = transform.mean_blob
    scale = (1.0 / transform.std_blob).astype(np.float32)
    if mean.any():
        x = graph.op("Sub", [x[0], graph.const(mean, f"{name}/mean")], name=f"{name}/sub")
    if (scale != 1).any():
        x = graph.op("Mul", [x[0], graph.const(scale, f"{name}/scale")], name=f"{name}/mul")
    return x[0]
