"""One layer against OpenCV 4.12, through every engine and, where it has one, through its ONNX form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from caffezoo.engines.registry import create_engine
from caffezoo.errors import LoweringError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.opencv_oracle import opencv_outputs
from tests.oracle import assert_close, layer_proto, one_layer_net, onnx_outputs

DETECTION_TYPES = set(
    "AnnotatedData BoxGroupOutput BoxOutput DecodeBBox DetectionEvaluate DetectionOutput MultiBoxLoss PriorBox "
    "Proposal PSROIPooling Python ROIAlign ROIPooling Region Reorg SmoothL1Loss Yolov3DetectionOutput".split()
)
"""Types that real Caffe lacks and that OpenCV, or formulas in tests of their own, hold."""

ENGINES = ("openvino", "onnxruntime")


def network_of(layer: str | pb.LayerParameter, inputs: Mapping[str, np.ndarray]) -> Network:
    """Return a network of one layer at the shapes of its inputs."""
    return Network.from_proto(one_layer_net(layer_proto(layer), {k: v.shape for k, v in inputs.items()}))


def engine_outputs(
    network: Network, inputs: Mapping[str, np.ndarray], engine: str = "onnxruntime"
) -> dict[str, np.ndarray]:
    """Return a network's outputs for inputs of different lengths, by an engine."""
    with create_engine(engine, network, batch_size=None, threads=1) as made:
        feed = {name: np.ascontiguousarray(inputs[name], np.float32) for name in network.inputs}
        return made.run(feed)


def assert_matches_opencv(
    layer: str | pb.LayerParameter, inputs: Mapping[str, np.ndarray], *, exports: bool | None = None, tol: float = 1e-4
) -> dict[str, np.ndarray]:
    """Hold a layer's tops against OpenCV's; detections without OpenCV's empty rows.

    Parameters
    ----------
    exports : bool, optional
        Whether the layer has an ONNX form, which is then held as well; either may be if not given.
    """
    network = network_of(layer, inputs)
    found = opencv_outputs(network, inputs, list(network.outputs))
    wanted = {name: without_empty(x) for name, x in found.items()}
    ways = {engine: engine_outputs(network, inputs, engine) for engine in ENGINES}
    try:
        ways.update({f"export in {k}": v for k, v in onnx_outputs(to_onnx(network), inputs).items()})
        assert exports is not False, "it has an ONNX form"
    except LoweringError:
        assert not exports
    for way, tops in ways.items():
        for name, x in wanted.items():
            ours = without_empty(tops[name])
            assert_close(ours.reshape(x.shape) if ours.size == x.size else ours, x, f"{way}, top {name}", tol)
    return wanted


def without_empty(x: np.ndarray) -> np.ndarray:
    """Return detections [1, 1, M, 7] without rows that say that there is none; other blobs as they are."""
    if x.ndim != 4 or x.shape[:2] != (1, 1) or x.shape[3] != 7:
        return x
    return x[:, :, (x[0, 0, :, 2] > 0)]
