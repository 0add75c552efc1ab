"""Parity: its own arithmetic, and source models themselves where TORCH_PYTHON names a Python that has torch."""

from __future__ import annotations

import os

import numpy as np
import pytest

from caffezoo.errors import EngineUnavailableError
from caffezoo.evaluation.parity import check_parity, seeded_images, source_input
from caffezoo.net.graph import Network
from caffezoo.net.scores import classifier_head
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.tensor_map import AS_THEY_ARE, Conventions, tensor_maps

NET = "squeezenet-v1.1"
WANTED = Conventions((104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "2012")


@pytest.fixture(scope="module")
def prototxt():
    return data_path(f"prototxt/squeezenet/deploy_{NET}.prototxt")


def test_logits_are_before_the_softmax(prototxt):
    assert classifier_head(Network.load(prototxt)).logits == "pool10"
    shicai = data_path("prototxt/densenet/deploy_densenet121-shicai.prototxt")
    assert classifier_head(Network.load(shicai)).logits == "fc6"


def test_both_sides_see_one_image(prototxt):
    mapping = tensor_maps(NET, "torch")["torchvision"]
    net = Network.load(prototxt)
    ((_, blob),) = seeded_images(net, WANTED).items()
    pixels = blob + np.array(WANTED.mean, np.float32)[None, :, None, None]
    assert 0 <= pixels.min() < 30 < 225 < pixels.max() <= 255
    theirs = source_input(blob, mapping, WANTED)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    wanted = (pixels[:, ::-1] / 255 - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(theirs, wanted, atol=1e-5)
    plain = source_input(blob, mapping, AS_THEY_ARE)
    np.testing.assert_array_equal(plain, blob[:, ::-1])


def test_bgr_stays(prototxt):
    mapping = tensor_maps("resnet101", "torch")["cafferesnet"]
    assert not mapping.reads_rgb
    blob = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(source_input(blob, mapping, AS_THEY_ARE), blob)


def test_no_torch(prototxt, tmp_path):
    with pytest.raises(EngineUnavailableError, match="no such Python"):
        check_parity(NET, prototxt, model="torchvision:squeezenet1_1", python=str(tmp_path / "none"))


@pytest.mark.slow
@pytest.mark.skipif("TORCH_PYTHON" not in os.environ, reason="TORCH_PYTHON names no Python with torch and torchvision")
@pytest.mark.parametrize(
    ("network", "folder", "model"),
    [
        (NET, "squeezenet", "torchvision:squeezenet1_1"),
        ("resnet18-priv", "resnet", "torchvision:resnet18"),
        ("densenet121", "densenet", "torchvision:densenet121"),
        ("resnext50-32x4d", "resnext", "torchvision:resnext50_32x4d"),
    ],
)
def test_source_models(network, folder, model):
    path = data_path(f"prototxt/{folder}/deploy_{network}.prototxt")
    run = check_parity(network, path, model=model, python=os.environ["TORCH_PYTHON"])
    assert run.results[-1].relative < 1e-4
    assert run.results[-1].same_top5
    assert {"torch", "torchvision"} <= set(run.source.versions)
