"""The worker that runs source models: what it says where there is no torch, and where it fails."""

from __future__ import annotations

import shlex
import sys

import pytest

from caffezoo.errors import EngineError, EngineUnavailableError
from caffezoo.weights.torch_process import find_torch_python, run_source_model


def test_no_such_python():
    with pytest.raises(EngineUnavailableError, match="no such Python '/none/python'"):
        find_torch_python("/none/python")
    assert find_torch_python(sys.executable) == sys.executable


def test_python_without_torch(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(EngineUnavailableError, match=r"No module named 'torch'.*--torch-python"):
        run_source_model("timm:resnet18", [], classes=1000, python=str(bare))


def test_python_that_is_none(tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'it broke' >&2\nexit 3\n")
    script.chmod(0o755)
    with pytest.raises(EngineError, match="timm:resnet18: it broke"):
        run_source_model("timm:resnet18", [], classes=1000, python=str(script))
    script.write_text("no program")
    with pytest.raises(EngineUnavailableError, match="does not start"):
        run_source_model("timm:resnet18", [], classes=1000, python=str(script))
