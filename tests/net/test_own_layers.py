"""Layers of one's own: the page's example works, parameters of their own arrive, and files that are none are named."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import caffezoo.net.own_layers as own_layers
from caffezoo.errors import PrototxtError, ShapeError, UnknownLayerError, UsageError
from caffezoo.formats.extra_fields import extra_fields
from caffezoo.formats.prototxt import parse_prototxt, write_prototxt
from caffezoo.net import registry
from caffezoo.net.folding import fold
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.oracle import onnx_outputs

PAGE = (Path(__file__).parents[2] / "docs" / "layers.md").read_text("utf-8")
CODE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
LAYER = re.search(r"^layer \{.*\}$", PAGE, re.MULTILINE)[0]
NET = 'input: "data" input_shape { dim: 2 dim: 3 }\n' + LAYER


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test registers be gone after it."""
    registry.layer_types()
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(own_layers, "_loaded", {})


@pytest.fixture
def example(tmp_path: Path) -> Path:
    file = tmp_path / "my_layers.py"
    file.write_text(CODE)
    return file


def test_the_example_is_as_short_as_the_page_says() -> None:
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 25


def test_the_example_runs_everywhere(example: Path) -> None:
    with pytest.raises(UnknownLayerError, match="LogOffset"):
        Network.from_text(NET)
    assert own_layers.load_layers(example) == ("LogOffset",)
    assert own_layers.load_layers(example) == ("LogOffset",)  # not run again, which would register it twice
    network = Network.from_text(NET)
    x = np.float32([[0, 1, 2], [3, 4, 5]])
    wanted = np.log(x + 2)  # the offset of the page's prototxt
    for found in onnx_outputs(to_onnx(network), {"data": x}).values():
        np.testing.assert_allclose(found["log"], wanted, rtol=1e-5)
    torch = pytest.importorskip("torch")
    from caffezoo.net.torch_module import to_torch

    np.testing.assert_allclose(to_torch(network)(torch.from_numpy(x))["log"].numpy(), wanted, rtol=1e-5)


def test_its_parameters_stay_with_it_in_networks_that_are_made_from_another(example: Path) -> None:
    own_layers.load_layers(example)
    network = Network.from_text(NET)
    for other in (
        network.reshaped(batch=5),
        fold(network.with_weights({})).network,
        pickle.loads(pickle.dumps(network)),
    ):
        assert other.nodes[-1].layer.extra == {"log_offset_param": {"offset": 2}}
    again = parse_prototxt(write_prototxt(network.prototxt.net))
    assert extra_fields(again.net.layer[-1]) == {"log_offset_param": {"offset": 2}}


def test_the_example_refuses_by_itself(example: Path) -> None:
    own_layers.load_layers(example)
    with pytest.raises(ShapeError, match=r"layer 'log' \(LogOffset\): offset -1 must be positive"):
        Network.from_text(NET.replace("offset: 2", "offset: -1"))


def test_the_command_line_takes_it(example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from caffezoo.cli.main import main

    file = tmp_path / "net.prototxt"
    file.write_text(NET)
    with pytest.raises(SystemExit) as left:
        main(["show", str(file), "--layers", str(example)])
    assert left.value.code == 0
    assert "LogOffset" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import math\n\n1 / 0\n", r"mine.py:3: it raises ZeroDivisionError"),
        ("def broken(:\n", r"mine.py:1: it raises SyntaxError"),
        ("x = 1\n", "it registers no layer"),
        ("from caffezoo.net.layer import Layer, register\nregister('ReLU')(Layer)\n", "registered twice"),
    ],
)
def test_files_that_are_none(tmp_path: Path, code: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(UsageError, match=message):
        own_layers.load_layers(tmp_path / "mine.py")
    with pytest.raises(UsageError, match="no such file"):
        own_layers.load_layers(tmp_path / "other.py")


def test_every_kind_of_value_arrives() -> None:
    text = """layer { name: "l" type: "Mine" my_param { a: 1 a: 2.5 s: "x y" flag: true kind: FAST list: [1, 2] one: [3]
      inner < b: -1e-3 > # a note
    } my_size: 7 }"""
    assert extra_fields(parse_prototxt(text).net.layer[0]) == {
        "my_param": {
            "a": [1, 2.5],
            "s": "x y",
            "flag": True,
            "kind": "FAST",
            "list": [1, 2],
            "one": [3],
            "inner": {"b": -0.001},
        },
        "my_size": 7,
    }


def test_known_layers_take_no_fields_of_their_own() -> None:
    with pytest.raises(PrototxtError, match="no field 'my_param'"):
        Network.from_text(NET.replace("LogOffset", "ReLU").replace("log_offset_param", "my_param"))
