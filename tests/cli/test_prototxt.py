"""``caffezoo prototxt`` and its door in ``tools/``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from caffezoo.cli import prototxt as verb
from caffezoo.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["prototxt", *arguments])
    return stopped.value.code or 0


def test_writes_below_the_given_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("air14-*", "--output", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote prototxt/air/deploy_air14-1x16d.prototxt",
        "wrote prototxt/air/deploy_air14-1x8d.prototxt",
        "2 written, 0 unchanged",
    ]
    assert run("air14-*", "--output", str(tmp_path)) == 0
    assert capsys.readouterr().out == "0 written, 2 unchanged\n"


def test_check_names_faults_and_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("air14-*", "--output", str(tmp_path))
    (tmp_path / "prototxt/air/deploy_air14-1x8d.prototxt").write_text("name: 'mine'\n")
    (tmp_path / "prototxt/air/deploy_air14-1x16d.prototxt").unlink()
    capsys.readouterr()
    assert run("air14-*", "--check", "--output", str(tmp_path)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "prototxt/air/deploy_air14-1x8d.prototxt: differs",
        "prototxt/air/deploy_air14-1x16d.prototxt: is missing",
        "0 as generated, 2 not",
    ]


def test_check_writes_nothing(tmp_path: Path) -> None:
    assert run("air14-*", "--check", "--output", str(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []


def test_strays_count_only_in_a_check_of_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--output", str(tmp_path)) == 0
    stray = tmp_path / "prototxt/mine/deploy_mine.prototxt"
    stray.parent.mkdir()
    stray.write_text("")
    assert run("air14-*", "--check", "--output", str(tmp_path)) == 0
    capsys.readouterr()
    assert run("--check", "--output", str(tmp_path)) == 1
    assert capsys.readouterr().out.startswith("prototxt/mine/deploy_mine.prototxt: is stray\n")
    assert run("--output", str(tmp_path)) == 0
    assert "prototxt/mine/deploy_mine.prototxt: no generator writes this file" in capsys.readouterr().out
    assert stray.exists()


def test_unknown_names_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("resnet51", "--output", str(tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.startswith("caffezoo: error: ")
    assert "resnet50" in error
    assert error.count("\n") == 1


def test_an_installed_package_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    installed = tmp_path / "site-packages" / "caffezoo" / "cli" / "prototxt.py"
    monkeypatch.setattr(verb, "__file__", str(installed))
    assert run() == 2
    error = capsys.readouterr().err
    assert "--output DIR" in error
    assert error.count("\n") == 1
    assert run("air14-1x8d", "--output", str(tmp_path)) == 0


def test_the_committed_files_are_as_generated(capsys: pytest.CaptureFixture[str]) -> None:
    status = run("--check")
    assert status == 0, capsys.readouterr().out


def test_the_door_in_tools(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "prototxt.py"), "air14-1x8d", "--check", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "deploy_air14-1x8d.prototxt: is missing" in done.stdout
