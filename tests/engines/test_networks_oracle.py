"""Whole networks against real Caffe, on every engine: one of each shape.

Every network of the zoo is held against Caffe's recorded logits in ``tests/golden``.
"""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_inputs, seeded_weights
from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from tests.golden.cases import without_softmax
from tests.oracle import ROOT, assert_close, oracle_python, requires_caffe

pytestmark = requires_caffe

SHAPES = {
    "resnet/deploy_resnet18-priv": 96,
    "dpn/deploy_dpn-68-extra": 96,
    "inception/deploy_googlenet": 224,
    "senet/deploy_se-inception-v2": 96,
    "mobilenet/deploy_mobilenet-v1-1.0": 96,
    "mobilenet/deploy_mobilenet-v2": 96,
    "densenet/deploy_densenet121": 64,
    "efficientnet-lite/deploy_efficientnet-lite0": 96,
    "shufflenet/deploy_shufflenet-1x-g3": 96,
    "squeezenet/deploy_squeezenet-v1.1": 96,
}
"""A network of each shape, small enough to run on every change: file, and input height and width in pixels."""


def load(path: str, size: int) -> Network:
    """Return a network at ``size``, or at its own size where it needs that (a fixed last pooling)."""
    network = Network.load(ROOT / "prototxt" / f"{path}.prototxt")
    try:
        return network.resized(size)
    except ShapeError:
        return network


def compare(network: Network) -> None:
    """Assert that the engines give Caffe's logits to 1e-4 and its top-5, on a softmax that is not saturated.

    OpenVINO runs the folded network, ONNX Runtime the network as it stands.
    """
    network = network.with_weights(seeded_weights(network)[0])
    headless = without_softmax(network)
    logits = headless.outputs[-1]
    outputs = [*dict.fromkeys([logits, *network.outputs])]
    inputs = seeded_inputs(network, 1, batch=2)
    found = {}
    for name in ("caffe", "openvino", "onnxruntime"):
        given, wanted = (headless, [logits]) if name == "openvino" else (network, outputs)
        options = {"batch_size": 2, "outputs": wanted, "threads": 1, "caffe_python": oracle_python()}
        with create_engine(name, given, **options) as engine:
            found[name] = engine.run(inputs)
    caffe = found.pop("caffe")
    for runtime, blobs in found.items():
        for blob, x in blobs.items():
            assert_close(x, caffe[blob], f"{runtime}, {blob}")
            top, top_caffe = (np.argsort(-scores.reshape(2, -1))[:, :5] for scores in (x, caffe[blob]))
            assert (top == top_caffe).all(), f"{runtime}, {blob}: top-5 {top.tolist()}, Caffe has {top_caffe.tolist()}"
    assert caffe[logits].std() > 0.5
    assert np.abs(caffe[logits][0] - caffe[logits][1]).max() > 0.05
    e = np.exp(caffe[logits].reshape(2, -1))
    assert (e.max(1) / e.sum(1)).max() < 0.9


@pytest.mark.parametrize("path", SHAPES)
def test_small_networks_of_every_family(path: str) -> None:
    compare(load(path, SHAPES[path]))
