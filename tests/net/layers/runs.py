"""One layer run through its ONNX form by ONNX Runtime, where the oracle is not what a test asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.oracle import layer_proto, one_layer_net, onnx_outputs


def forward(
    layer: str | pb.LayerParameter, inputs: Mapping[str, np.ndarray], blobs: Sequence[np.ndarray] = ()
) -> list[np.ndarray]:
    """Return a layer's tops; both runtimes must agree on them."""
    proto = layer_proto(layer)
    network = Network.from_proto(one_layer_net(proto, {k: v.shape for k, v in inputs.items()}))
    network = network.with_weights({proto.name: list(blobs)} if blobs else {})
    found = onnx_outputs(to_onnx(network), inputs)
    for name in proto.top:
        a, b = found["openvino"][name], found["onnxruntime"][name]
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(b).max(initial=0))))
    return [found["onnxruntime"][name] for name in proto.top]
