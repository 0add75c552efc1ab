"""OpenVINO's precision is what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from caffezoo.engines.openvino import OpenVINOEngine, compiled_precisions
from caffezoo.errors import EngineUnavailableError, PrecisionError
from tests.engines.networks import small_network


def test_every_product_is_compiled_in_float32() -> None:
    with OpenVINOEngine(small_network()) as engine:
        compiled = engine._request.get_compiled_model()
        assert compiled_precisions(compiled) == {"f32"}
        assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


@pytest.mark.parametrize(("asked", "compiled"), [("float32", {"f32", "bf16"}), ("bfloat16", {"f32"})])
def test_a_silent_change_of_precision_is_an_error(
    monkeypatch: pytest.MonkeyPatch, asked: str, compiled: set[str]
) -> None:
    monkeypatch.setattr("caffezoo.engines.openvino.compiled_precisions", lambda model: compiled)
    monkeypatch.setattr("caffezoo.engines.openvino.CAPABILITIES", dict.fromkeys(("float32", "bfloat16"), "FP32"))
    with pytest.raises(PrecisionError, match=f"in place of {asked}"):
        OpenVINOEngine(small_network(), precision=asked)


def test_a_missing_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(EngineUnavailableError, match="pip install openvino"):
        OpenVINOEngine.probe()


def test_threads_are_read_back() -> None:
    made: Any = OpenVINOEngine(small_network(), threads=1)
    assert made.threads == 1
    made.close()
