"""The door for scripts that say ``cv2.dnn.readNetFromCaffe``."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from caffezoo.cv2dnn import CaffeNetError, readNetFromCaffe
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network
from caffezoo.training.fillers import filled_weights
from tests.opencv_oracle import opencv_outputs, requires_opencv

TEXT = """name: "small"
input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE global_pooling: true } }
layer { name: "left" type: "InnerProduct" bottom: "p" top: "l"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "right" type: "Sigmoid" bottom: "p" top: "r" }
layer { name: "prob" type: "Softmax" bottom: "l" top: "prob" }
"""


@pytest.fixture
def files(tmp_path):
    network = Network.from_text(TEXT)
    network = network.with_weights(filled_weights(network, 3))
    (tmp_path / "net.prototxt").write_text(TEXT)
    write_caffemodel(tmp_path / "net.caffemodel", network.prototxt.net, network.weights)
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel", network


def test_names_numbers_and_open_ends(files):
    net = readNetFromCaffe(str(files[0]), str(files[1]))
    assert net.getLayerNames() == ("conv", "relu", "pool", "left", "right", "prob")
    assert [net.getLayerId(n) for n in ("_input", "conv", "prob", "no")] == [0, 1, 6, -1]
    assert net.getUnconnectedOutLayers().tolist() == [5, 6]
    assert net.getUnconnectedOutLayersNames() == ("right", "prob")
    assert net.getLayer(1).type == "Convolution"
    assert net.getLayer("conv").blobs[0].shape == (4, 3, 3, 3)


def test_a_layer_is_asked_before_it_is_rewritten(files):
    net = readNetFromCaffe(*(np.frombuffer(p.read_bytes(), np.uint8) for p in files[:2]))
    net.setInput(np.random.default_rng(0).normal(size=(2, 3, 12, 10)).astype(np.float32))
    before, after = net.forward(["conv", "relu"])
    assert before.shape == (2, 4, 10, 8)
    assert before.min() < 0
    np.testing.assert_allclose(np.maximum(before, 0), after, atol=1e-6)
    np.testing.assert_allclose(net.forward().sum(1), 1, atol=1e-5)


def test_scale_and_mean_are_applied(files):
    net = readNetFromCaffe(*map(str, files[:2]))
    x = np.random.default_rng(0).normal(size=(1, 3, 9, 9)).astype(np.float32)
    net.setInput(x, "data", 0.5, (1, 2, 3))
    scaled = net.forward("conv")
    net.setInput(0.5 * (x - np.array([1, 2, 3], np.float32).reshape(3, 1, 1)))
    np.testing.assert_allclose(scaled, net.forward("conv"), atol=1e-5)


def test_a_parameter_that_is_set_counts(files):
    net = readNetFromCaffe(*map(str, files[:2]))
    net.setInput(np.ones((1, 3, 9, 9), np.float32))
    net.forward("conv")
    net.setParam("conv", 0, np.zeros_like(net.getParam("conv")))
    net.setParam("conv", 1, np.arange(4))
    assert net.forward("conv")[0, :, 0, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("call", ["forward", "layer", "input", "file", "bytes"])
def test_errors_are_of_both_kinds(files, call):
    net = readNetFromCaffe(*map(str, files[:2]))
    calls = {
        "forward": net.forward,
        "layer": lambda: net.forward("cnv"),
        "input": lambda: net.setInput(np.ones((1, 3, 9, 9), np.float32), "dat"),
        "file": lambda: readNetFromCaffe("no.prototxt"),
        "bytes": lambda: readNetFromCaffe(b"\xff\xfe"),
    }
    with pytest.raises(CaffeNetError) as found:
        calls[call]()
    assert isinstance(found.value, cv2.error)


def test_install_puts_the_reader_where_it_is_missing():
    code = (
        "import cv2; had = getattr(cv2.dnn, 'readNetFromCaffe', None); import caffezoo.cv2dnn as c; c.install();"
        "assert cv2.dnn.readNetFromCaffe is (had or c.readNetFromCaffe)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@requires_opencv
def test_arrays_are_opencvs(files):
    x = np.random.default_rng(1).normal(size=(2, 3, 9, 9)).astype(np.float32)
    names = ["right", "prob"]
    wanted = opencv_outputs(files[2], {"data": x}, names, prototxt=files[0].read_bytes())
    net = readNetFromCaffe(*map(str, files[:2]))
    net.setInput(x)
    for name, found in zip(names, net.forward(names), strict=True):
        np.testing.assert_allclose(found.ravel(), wanted[name].ravel(), atol=1e-4, err_msg=name)
