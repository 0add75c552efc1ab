"""``import caffezoo``: light, and the documented calls work."""

from __future__ import annotations

import doctest
import subprocess
import sys

import numpy as np
import pytest

import caffezoo
import caffezoo.zoo.entry
import caffezoo.zoo.where
from caffezoo.errors import UnknownNameError
from caffezoo.zoo.entry import NetworkEntry


@pytest.mark.parametrize("module", [caffezoo, caffezoo.zoo.entry, caffezoo.zoo.where])
def test_the_examples_run(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


def test_importing_is_light() -> None:
    code = "import caffezoo, sys; print(sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'yaml', 'pydantic'}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_names() -> None:
    assert set(caffezoo.__all__) <= set(dir(caffezoo))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = caffezoo.nothing


def test_a_network() -> None:
    entry = caffezoo.network("se_resnet50")
    assert isinstance(entry, NetworkEntry)
    assert isinstance(entry, caffezoo.ZooNetwork)
    assert entry.name == "se-resnet50"
    assert caffezoo.list_networks("dpn-9*") == ["dpn-92", "dpn-98"]
    with pytest.raises(UnknownNameError):
        caffezoo.network("se-resnet51")


def test_preprocess() -> None:
    image = np.full((300, 400, 3), 104, np.uint8)
    pixels = caffezoo.network("dpn92").preprocess(image)
    assert pixels.shape == (1, 3, 224, 224)
    np.testing.assert_allclose(pixels[0, :, 0, 0], np.array([0, -13, -20]) / 59.88, rtol=1e-6)
    assert caffezoo.network("dpn92").preprocess(image, "large").shape == (1, 3, 320, 320)


def test_graph() -> None:
    network = caffezoo.network("squeezenet-v1.1").graph()
    assert network.parameter_count == 1_235_496
    assert network.resized(227, batch=1).shape(network.outputs[-1])[:2] == (1, 1000)
