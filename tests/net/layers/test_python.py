"""Python layers: never run unasked, run from folders that the caller names, one line of error each."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.engines.registry import create_engine
from caffezoo.errors import NetworkError, ShapeError, UnknownLayerError, UsageError
from caffezoo.net import python_code
from caffezoo.net.graph import Network
from tests.engines.networks import HERE

TEXT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "own" type: "Python" bottom: "data" top: "y" python_param { module: "zoo_test_MODULE" layer: "LAYER"
  param_str: "PARAM" } }
layer { name: "twice" type: "Power" bottom: "y" top: "z" power_param { scale: 2 } }
"""

CODE = """
import caffe

class Shift(caffe.Layer):
    def setup(self, bottom, top):
        self.by = float(self.param_str)
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data + self.by
    def backward(self, top, propagate_down, bottom):
        pass

class Rows(caffe.Layer):
    def setup(self, bottom, top):
        assert (bottom[0].num, bottom[0].channels, bottom[0].height, bottom[0].count) == (2, 3, 1, 6)
    def reshape(self, bottom, top):
        top[0].reshape(1, 6)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data.ravel()[::-1]

class Raises(Shift):
    def forward(self, bottom, top):
        raise ValueError("no such thing")

class Quits(Shift):
    def reshape(self, bottom, top):
        raise SystemExit(3)

class Huge(Shift):
    def reshape(self, bottom, top):
        top[0].reshape(1 << 20, 1 << 20)
"""


@pytest.fixture(autouse=True)
def _nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_code, "_FOLDERS", [])


@pytest.fixture
def module(tmp_path: Path) -> str:
    """Write the module under a name that no other test has imported, and allow its folder."""
    name = re.sub(r"\W", "_", tmp_path.name)
    (tmp_path / f"zoo_test_{name}.py").write_text(CODE)
    python_code.run_code_of([tmp_path])
    return name


def _text(module: str, layer: str, param: str = "0.5") -> str:
    return TEXT.replace("MODULE", module).replace("LAYER", layer).replace("PARAM", param)


X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_code_is_not_run_unasked(tmp_path: Path) -> None:
    (tmp_path / "zoo_test_marks.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    message = (
        r"<string>:3: layer 'own' \(Python\): it is class 'A' of Python module 'zoo_test_marks', .* --python-layers DIR"
    )
    with pytest.raises(UnknownLayerError, match=message):
        Network.from_text(_text("marks", "A"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("engine", HERE)
def test_layers_run_between_the_parts_of_the_network(engine: str, module: str) -> None:
    network = Network.from_text(_text(module, "Shift"))
    with create_engine(engine, network, threads=1) as made:
        np.testing.assert_allclose(made.run(X)["z"], 2 * (X + 0.5))
        np.testing.assert_allclose(made.run(X + 1)["z"], 2 * (X + 1.5))


def test_layers_say_their_shapes_and_are_pickled(module: str) -> None:
    network = pickle.loads(pickle.dumps(Network.from_text(_text(module, "Rows"))))
    assert network.shape("y") == (1, 6)
    with create_engine("onnxruntime", network, threads=1) as made:
        np.testing.assert_allclose(made.run(X)["z"], 2 * X.ravel()[None, ::-1])
    pickle.dumps(network)


def test_what_code_raises_is_one_line_with_its_place(module: str) -> None:
    network = Network.from_text(_text(module, "Raises"))
    message = rf"layer 'own' \(Python\): its Python code raises ValueError: no such thing \(zoo_test_{module}.py:24\)"
    with create_engine("onnxruntime", network, threads=1) as made, pytest.raises(NetworkError, match=message):
        made.run(X)


@pytest.mark.parametrize(
    ("layer", "param", "message"),
    [
        ("Shift", "x", "its Python code raises ValueError: could not convert"),
        ("Quits", "1", "its Python code raises SystemExit: 3"),
        ("Huge", "1", "its Python code raises ValueError: shape .* holds more than 2147483647 values"),
        ("None_", "1", "has no class 'None_'; looked for in"),
    ],
)
def test_what_cannot_be_set_up(layer: str, param: str, message: str, module: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Network.from_text(_text(module, layer, param))


def test_modules_and_folders_that_are_not_there(tmp_path: Path) -> None:
    python_code.run_code_of([tmp_path])
    with pytest.raises(NetworkError, match=r"module 'zoo_test_absent' cannot be imported; looked for in"):
        Network.from_text(_text("absent", "A"))
    with pytest.raises(UsageError, match="no such folder"):
        python_code.run_code_of([tmp_path / "absent"])


def test_a_source_of_data_is_an_input_of_a_given_shape() -> None:
    text = 'layer { name: "data" type: "Python" top: "x" top: "l" python_param { module: "m" layer: "L" } }'
    with pytest.raises(ShapeError, match=r"class 'L' of Python module 'm'.* --shape x=1,3,224,224 --shape l=1"):
        Network.from_text(text)
    assert dict(Network.from_text(text, inputs={"x": (1, 2), "l": (1,)}).inputs) == {"x": (1, 2), "l": (1,)}


def test_the_command_line_runs_code_where_it_is_told(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(python_code, "_FOLDERS", [])
    (tmp_path / "net.prototxt").write_text(_text(module, "Rows"))
    for flags, status in (([], 1), (["--python-layers", str(tmp_path)], 0)):
        with pytest.raises(SystemExit) as stop:
            main(["show", str(tmp_path / "net.prototxt"), *flags])
        assert (stop.value.code or 0) == status
    out = capsys.readouterr()
    assert "--python-layers DIR runs it from DIR" in out.err
    assert "z 1x6" in out.out
