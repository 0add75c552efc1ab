"""The command that a record keeps is the one that was given, also through a door."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from caffezoo.cli.command import given_command
from caffezoo.cli.main import main
from tests.cli.test_evaluate import data_flags, files, network_flags  # noqa: F401
from tests.cli.test_time import QUICK, prototxt  # noqa: F401

ROOT = Path(__file__).parents[2]
DOORS = {"evaluate": "cls/evaluation_cls.py", "time": "tools/caffe_time.py"}


def record_of(*command: str) -> dict[str, str]:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120, check=True)
    record: dict[str, str] = json.loads(done.stdout)
    return record


@pytest.mark.parametrize("way", ["verb", "door"])
def test_evaluate(way: str, files: Path) -> None:  # noqa: F811
    flags = [str(f) for f in [*network_flags(files), *data_flags(files), "--no-resume", "--json"]]
    start = ["-m", "caffezoo", "evaluate"] if way == "verb" else [str(ROOT / DOORS["evaluate"])]
    assert shlex.split(record_of(*start, *flags)["command"]) == ["caffezoo", "evaluate", *flags]


@pytest.mark.parametrize("way", ["verb", "door"])
def test_time(way: str, prototxt: str) -> None:  # noqa: F811
    flags = ["--net", prototxt, *QUICK, "--json"]
    start = ["-m", "caffezoo", "time"] if way == "verb" else [str(ROOT / DOORS["time"])]
    assert shlex.split(record_of(*start, *flags)["command"]) == ["caffezoo", "time", *flags]


def test_called_inside_a_program(prototxt: str, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    with pytest.raises(SystemExit):
        main(["time", "--net", prototxt, *QUICK, "--json"])
    assert json.loads(capsys.readouterr().out)["command"].startswith("caffezoo time --net ")


def test_outside_of_a_command_there_is_none() -> None:
    with pytest.raises(RuntimeError):
        given_command()
