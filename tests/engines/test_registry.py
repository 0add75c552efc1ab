"""Which engines there are, and what is said of those that are not here."""

from __future__ import annotations

import json
import sys

import pytest

from caffezoo.engines.registry import create_engine, engine_infos, engine_names
from caffezoo.errors import UnknownNameError
from tests.engines.networks import two_inputs
from tests.oracle import oracle_python, requires_caffe


def test_the_default_comes_first() -> None:
    assert engine_names() == ("openvino", "onnxruntime", "caffe")


def test_an_unknown_engine_has_near_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown engine 'opnevino'; did you mean openvino"):
        create_engine("opnevino", two_inputs())


def test_what_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    infos = {info.name: info for info in engine_infos("/no/python")}
    assert infos["openvino"].available
    assert infos["openvino"].precisions[0] == "float32"
    assert not infos["onnxruntime"].available
    assert "pip install 'caffezoo[onnxruntime]'" in infos["onnxruntime"].problem
    assert infos["caffe"].problem == "--caffe-python: no such Python '/no/python'"


@requires_caffe
def test_the_verb_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    from caffezoo.cli.engines import engines

    engines(caffe_python=oracle_python(), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [info["name"] for info in found] == list(engine_names())
    assert all(info["available"] and info["version"] and info["devices"] for info in found)
    engines(caffe_python="/no/python", as_json=False)
    text = capsys.readouterr().out
    assert "float32" in text
    assert "no such Python" in text
