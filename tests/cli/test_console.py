"""No name that came from a file or a user is markup, in any verb, with and without a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.cli.console import make_console, say, shown
from caffezoo.cli.main import VERBS, main
from caffezoo.cli.progress import progress, track
from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network

HOSTILE = r"""
name: "net[bold]"
input: "data[red]" input_shape { dim: 1 dim: 3 dim: 16 dim: 16 }
layer { name: "conv[/1]" type: "Convolution" bottom: "data[red]" top: "conv[/1]"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: ":boom:" type: "ReLU" bottom: "conv[/1]" top: "conv[/1]" }
layer { name: "fc\033[31m[/]" type: "InnerProduct" bottom: "conv[/1]" top: "fc[link=x]"
        inner_product_param { num_output: 3 } }
layer { name: "prob[red]" type: "Softmax" bottom: "fc[link=x]" top: "prob[red]" }
"""
NAMES = ["conv[/1]", ":boom:", r"fc\x1b[31m[/]", "prob[red]"]


@pytest.fixture(params=["piped", "terminal"], autouse=True)
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """rich takes a pipe for a terminal where FORCE_COLOR says so: bars are then drawn and styles written."""
    monkeypatch.setenv("COLUMNS", "500")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network, its weights, an image and a list, all with hostile names."""
    (tmp_path / "net[red].prototxt").write_text(HOSTILE)
    (tmp_path / "large kernel[red].prototxt").write_text(HOSTILE.replace("kernel_size: 3", "kernel_size: 33"))
    network = Network.load(tmp_path / "net[red].prototxt")
    write_caffemodel(tmp_path / "w[bold].caffemodel", network.prototxt.net, seeded_weights(network)[0])
    cv2.imwrite(str(tmp_path / "a[blue].png"), np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
    (tmp_path / "b[blue].png").write_text("no image")
    (tmp_path / "list[x].txt").write_text("a[blue].png 0\n")
    (tmp_path / "index.yaml").write_text(
        json.dumps(
            {
                "version": 1,
                "sources": {"own": {"title": "own"}},
                "families": {"own": {"title": "own"}},
                "networks": {
                    "own": {
                        "family": "own",
                        "prototxt": str(tmp_path / "large kernel[red].prototxt"),
                        "input": {"size": 16},
                        "preprocessing": {
                            "mean": [0, 0, 0],
                            "std": [1, 1, 1],
                            "small": {"base_size": 16, "crop_size": 16},
                            "source": "own",
                        },
                        "labels": {"order": "other", "classes": 4, "names": ["[red]", "[/b]", ":boom:", "d"]},
                        "origin": {"project": "[red]one's own[/b]"},
                    }
                },
            }
        )
    )
    return tmp_path


FILES = "{net} --weights {weights}".split()
NETWORK = "--prototxt {net} --weights {weights} --mean 0 0 0 --base-size 16".split()
# For each verb: arguments, and what must stand in its output or on standard error.
COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "show": (["show", "{net}"], [*NAMES, "net[bold]", "data[red] 1x3x16x16", "net[red].prototxt"]),
    "export": (["export", *FILES, "--onnx", "{d}/o[red].onnx"], ["o[red].onnx"]),
    "export, no such blob": (["export", *FILES, "--onnx", "{d}/o.onnx", "--output", "prob[rad]"], ["'prob[rad]'"]),
    "run": (
        [
            "run",
            *FILES,
            "--input",
            "data[red]={d}/a[blue].png",
            "--mean",
            "0",
            "--blob",
            "conv[/1]",
            "-o",
            "{d}/o[red]",
        ],
        ["conv[/1]", "o[red]"],
    ),
    "classify": (["classify", "{d}/a[blue].png", "{d}/b[blue].png", *NETWORK], ["a[blue].png", "b[blue].png: "]),
    "detect": (["detect", "{d}/a[blue].png", *NETWORK[:-2]], ["net[red].prototxt: it is no detector"]),
    "evaluate": (["evaluate", *NETWORK, "--data", "{d}/list[x].txt", "--no-resume"], ["net[red]", "list[x].txt"]),
    "time": (
        ["time", "--net", "{net}", "--engine", "openvino", "--iterations", "2", "--forward-only"],
        ["net[red], 16 px", *NAMES],
    ),
    "train": (["train", "--solver", "{d}/solver[x].prototxt"], ["solver[x].prototxt"]),
    "caffe": (["caffe", "train", "--solver", "{d}/solver[x].prototxt"], ["solver[x].prototxt"]),
    "runs": (["runs", "show", "{d}/no[red]"], ["no[red]"]),
    "compare": (["compare", "{d}/no[red]", "{d}/no[/b]"], ["no[red]"]),
    "inspect": (["inspect", "{weights}"], ["conv[/1]", "w[bold].caffemodel"]),
    "diff": (["diff", "{net}", "{d}/large kernel[red].prototxt"], ["conv[/1]"]),
    "diff, weights": (["diff", "{weights}", "{d}/no[red].caffemodel"], ["no[red].caffemodel"]),
    "noise": (["noise", *FILES, "--data", "{d}/no[red]", "--mean", "0"], ["no[red]"]),
    "check": (["check", "own", "--index", "{d}/index.yaml"], ["large kernel[red].prototxt", "layer 'conv[/1]'"]),
    "fold": (["fold", *FILES, "--samples", "1", "-o", "{d}/o[red]"], ["prob[red]", "o[red]"]),
    "precision": (["precision", "--net", "x[/b]y"], ["'x[/b]y'"]),
    "precision scan": (["precision", "scan", *FILES, "--samples", "0"], ["every value"]),
    "data": (["data", "inspect", "{d}/list[x].txt"], ["list[x].txt"]),
    "list": (["list", "--where", "top1[red] < 3"], ["top1[red]"]),
    "engines": (["engines", "--caffe-python", "/no/python[red]"], ["/no/python[red]"]),
    "fetch": (["fetch", "x[/b]y"], ["'x[/b]y'"]),
    "cache": (["cache", "path", "x[/b]y"], ["'x[/b]y'"]),
    "import": (["import", "{d}/w[gone].pth", "--net", "own"], ["w[gone].pth"]),
    "prototxt": (["prototxt", "x[/b]"], ["'x[/b]'"]),
    "results": (["results", "diff", "x[/b]"], ["'x[/b]'"]),
    "tables": (["tables", "--table", "x[/b]"], ["'x[/b]'"]),
    "plot": (["plot", "cost", "--against", "x[/b]", "--output", "a.svg"], ["'x[/b]'"]),
    "report": (["report", "--html", "{d}/page", "--index", "{d}/no[red].yaml"], ["no[red].yaml"]),
}


def test_every_verb_is_tried() -> None:
    assert {re.split("[, ]", command)[0] for command in COMMANDS} == set(VERBS)


@pytest.mark.parametrize("name", COMMANDS)
def test_names_stand_as_they_are(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in ("train", "caffe"):
        pytest.importorskip("torch")
    monkeypatch.setenv("CAFFEZOO_CACHE", str(folder / "cache"))
    arguments, wanted = COMMANDS[name]
    places = {"net": folder / "net[red].prototxt", "weights": folder / "w[bold].caffemodel", "d": folder}
    with pytest.raises(SystemExit) as stop:
        main([argument.format(**places) for argument in arguments])
    out = capsys.readouterr()
    text = out.out + out.err
    assert stop.value.code in (None, 0, 1, 2)
    assert "Traceback" not in text
    assert "\x1b[31m[/]" not in text
    for each in wanted:
        assert each in text, text


def test_a_console_changes_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print("[red]x[/b] :boom: [link=a]")
    assert capsys.readouterr().out == "[red]x[/b] :boom: [link=a]\n"


def test_control_characters_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("a\x1b[31m\x07\u202eb\x9b") == r"a\x1b[31m\x07\u202eb\x9b"
    assert shown("größe 大") == "größe 大"
    say("warning", "two\nlines\x1b]0;title\x07")
    assert capsys.readouterr().err == "caffezoo: warning: two lines\\x1b]0;title\\x07\n"


def test_bars_and_lines_take_any_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(["a[/b]", "c"], "title[/x]", key=str)) == ["a[/b]", "c"]
    with progress(2, unit="[/x]", every_item=True) as advance:
        advance(0, "a[/b]")
        advance(1.5, "c[/d]")
    assert "Traceback" not in capsys.readouterr().err
