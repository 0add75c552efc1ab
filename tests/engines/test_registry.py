"""Which engines there are, and what is said of those that are not here."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import pytest

from caffezoo.engines.registry import create_engine, engine_infos, engine_names
from caffezoo.errors import UnknownNameError, UsageError
from tests.engines.networks import two_inputs
from tests.oracle import oracle_python, requires_caffe


def test_the_default_comes_first() -> None:
    assert engine_names() == ("openvino", "onnxruntime", "torch", "caffe")


def test_an_unknown_engine_has_near_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown engine 'opnevino'; did you mean openvino"):
        create_engine("opnevino", two_inputs())


def test_what_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    infos = {info.name: info for info in engine_infos("/no/python")}
    assert infos["openvino"].available
    assert infos["openvino"].precisions[0] == "float32"
    assert not infos["onnxruntime"].available
    assert "pip install 'caffezoo[onnxruntime]'" in infos["onnxruntime"].problem
    assert "pip install 'caffezoo[torch]'" in infos["torch"].problem
    assert infos["caffe"].problem == "--caffe-python: no such Python '/no/python'"


def test_a_gpu_is_for_engines_that_have_one() -> None:
    with pytest.raises(UsageError, match="engine openvino runs on the CPU; a GPU is for torch, caffe"):
        create_engine("openvino", two_inputs(), gpu=0)


@requires_caffe
def test_the_verb_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    from caffezoo.cli.engines import engines

    engines(caffe_python=oracle_python(), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [info["name"] for info in found] == list(engine_names())
    here = [info for info in found if info["name"] != "torch" or find_spec("torch")]
    assert all(info["available"] and info["version"] and info["devices"] for info in here)
    engines(caffe_python="/no/python", as_json=False)
    text = capsys.readouterr().out
    assert "float32" in text
    assert "no such Python" in text
