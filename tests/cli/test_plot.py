"""``caffezoo plot``: pictures from the command line, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffezoo.cli.main import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["plot", *arguments])
    return int(stopped.value.code or 0)


def test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert run("cost", "--against", "parameters", "--top", "5", "-o", str(tmp_path / "a.svg")) == 0
    assert run("crops", "dpn92", "-o", str(tmp_path / "b.png")) == 0
    assert capsys.readouterr().out.splitlines() == [f"wrote {tmp_path / 'a.svg'}", f"wrote {tmp_path / 'b.png'}"]
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("cost", "-o", "a.pdf"), 2, "use .png or .svg"),
        (("cost", "--against", "mac", "-o", "a.png"), 2, "did you mean macs"),
        (("cost", "--top", "3", "-o", "a.png"), 2, "choose --top 1 or --top 5"),
        (("crops", "dpn-29", "-o", "a.png"), 2, "unknown network 'dpn-29'"),
        (("crops", "open-nsfw", "-o", "a.png"), 1, "no error at a known base and crop size"),
        (("layers", "dpn-92", "-o", "a.png"), 1, "no run with times of layers"),
        (("confusion", "dpn-92", "-o", "a.png"), 1, "no run with what was taken for what"),
        (("loss", "dpn-92", "-o", "a.png"), 1, "no run with curves of a training"),
        (("loss", "dpn-29", "-o", "a.png"), 2, "unknown network 'dpn-29'"),
        (("cost", "--engine", "torch", "-o", "a.png"), 2, "--engine is for --against time"),
        (("cost", "--against", "time", "--engine", "torch", "-o", "a.png"), 1, "no network has both"),
    ],
)
def test_what_cannot_be_drawn(
    arguments: tuple[str, ...], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert run(*arguments, "--results", str(tmp_path)) == status
    assert said in capsys.readouterr().err
    assert not Path(arguments[-1]).exists()
