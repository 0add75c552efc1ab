"""``caffezoo tables`` and its door in ``tools/``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from caffezoo.cli.main import main
from caffezoo.report.tables import TABLES
from tests.report.measurements import evaluation_record

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("accuracy", "cost", "preprocessing")
README = "# zoo\n\n" + "".join(
    f"<details><summary>{name}</summary>\n\n<!-- table:{name} -->\n<!-- /table -->\n\n</details>\n" for name in NAMES
)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["tables", *arguments])
    return int(stopped.value.code or 0)


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    file = tmp_path / "README.md"
    file.write_text(README)
    (tmp_path / "results").mkdir()
    return file


def _places(file: Path) -> tuple[str, ...]:
    return "--readme", str(file), "--results", str(file.parent / "results")


def test_fill_then_check(readme: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--check", *_places(readme)) == 1
    assert f"{readme}:5: table 'accuracy' is stale" in capsys.readouterr().out
    assert readme.read_text() == README
    assert run(*_places(readme)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 of 3 tables changed"
    text = readme.read_text()
    assert "| dpn-92 | 20.81/5.47 | 18.99/4.59 | 19.23/4.64 | 18.68/4.24 |" in text
    assert text.count("</details>") == 3
    assert run("--check", *_places(readme)) == 0
    assert run(*_places(readme)) == 0
    assert readme.read_text() == text


def test_a_changed_row_is_stale_by_name(readme: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(*_places(readme))
    readme.write_text(readme.read_text().replace("| dpn-92 | 20.81/", "| dpn-92 | 20.18/"))
    capsys.readouterr()
    assert run("--check", *_places(readme)) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in said[:-1]] == ["table 'accuracy' is stale"]
    assert said[-1] == "2 tables as generated, 1 not"
    assert run("--check", "--table", "cost", *_places(readme)) == 0


def test_a_new_result_makes_the_table_stale(readme: Path) -> None:
    run(*_places(readme))
    record = readme.parent / "record.json"
    record.write_text(json.dumps(evaluation_record()))
    with pytest.raises(SystemExit):
        main(["results", "add", str(record), "--results", str(readme.parent / "results")])
    assert run("--check", *_places(readme)) == 1


def test_a_bad_row_is_named_and_the_tables_come_out(readme: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from caffezoo.report.rows import AccuracyRow

    file = readme.parent / "results" / "accuracy.csv"
    file.write_text(",".join(AccuracyRow.columns()) + "\nbroken\n")
    assert run(*_places(readme)) == 0
    assert f"row left out: {file}:2: has 1 cells" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("no markers\n", 1, "has no section <!-- table:NAME -->"),
        ("<!-- table:accuracy -->\n", 1, ":1: table 'accuracy' has no end"),
        ("<!-- table:acuracy -->\n<!-- /table -->\n", 2, ":1: unknown table 'acuracy'; did you mean accuracy"),
    ],
)
def test_a_readme_that_cannot_be(
    readme: Path, text: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    readme.write_text(text)
    assert run("--check", *_places(readme)) == status
    assert said in capsys.readouterr().err
    assert readme.read_text() == text


def test_no_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--readme", str(tmp_path / "absent.md")) == 1
    assert "absent.md: cannot be read" in capsys.readouterr().err


def test_one_section_asked_for_that_is_not_there(readme: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--table", "time", *_places(readme)) == 1
    assert "has no section <!-- table:time -->" in capsys.readouterr().err


def test_files_and_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").mkdir()
    store = ("--results", str(tmp_path / "results"))
    assert run("--output", str(tmp_path / "out"), "--format", "html", *store) == 0
    assert len(list((tmp_path / "out").glob("*.html"))) == len(TABLES)
    capsys.readouterr()
    assert run("--format", "csv", "--table", "lite", *store) == 0
    assert capsys.readouterr().out.startswith("network,error,F/B GPU,F/B CPU,crop px\n")


@pytest.mark.parametrize(
    "arguments",
    [("--format", "word"), ("--table", "nothing"), ("--check", "--format", "csv"), ("--readme", "x", "--output", "y")],
)
def test_flags_that_cannot_be(arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 2


def test_the_door(readme: Path) -> None:
    door = [sys.executable, str(ROOT / "tools/tables.py"), "--check", *_places(readme)]
    done = subprocess.run(door, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "0 tables as generated, 3 not")
