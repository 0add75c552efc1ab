"""``caffezoo list``: what it prints, its columns against the entries and the real costs, its speed."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caffezoo.cli.columns import COLUMNS, error_percent, headline
from caffezoo.cli.list import list_networks
from caffezoo.cli.networks import complete_network
from caffezoo.errors import UnknownNameError, UsageError
from caffezoo.net.cost import network_cost
from caffezoo.net.graph import Network
from caffezoo.report.costs import network_costs
from caffezoo.zoo.index import load_index

Say = Callable[..., str]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CAFFEZOO_INDEX", raising=False)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(pattern: str = "*", **options: Any) -> str:
        defaults: dict[str, Any] = dict.fromkeys(("family", "where", "sort", "columns", "index"))
        defaults |= dict.fromkeys(("as_json", "as_csv", "as_markdown"), False)
        list_networks(pattern, **{**defaults, **options})
        return capsys.readouterr().out

    return run


def test_the_table(say: Say) -> None:
    lines = say("dpn-92").splitlines()
    assert lines[0].split("  ")[0] == "network"
    cells = lines[1].split()
    assert cells[:7] == ["dpn-92", "dpn", "classification", "20.81", "5.47", "37.794", "6.502"]
    assert lines[-1] == "1 network"


def test_detectors_are_told_apart(say: Say) -> None:
    rows = json.loads(say("*", as_json=True, columns="name,task,top1", where="task == 'detection'"))
    assert [row["name"] for row in rows] == ["res10-ssd-face", "mtcnn-det1", "mtcnn-det2", "mtcnn-det3"]
    assert {(row["task"], row["top1"]) for row in rows} == {("detection", None)}


def test_costs_are_the_networks_own_at_the_small_size(say: Say) -> None:
    (row,) = json.loads(say("dpn131", as_json=True, columns="name,params,gmacs,activations,size"))
    entry = load_index().network("dpn-131")
    cost = network_cost(Network.load(entry.prototxt_path).resized(224, batch=1))
    assert row == {
        "name": "dpn-131",
        "params": cost.parameters / 1e6,
        "gmacs": cost.macs / 1e9,
        "activations": cost.activations / 1e6,
        "size": cost.caffemodel_bytes / 2**20,
    }


def test_where_and_sort(say: Say) -> None:
    condition = "top1 < 20.5 and crop == 224"
    found = json.loads(say(family="dpn", where=condition, sort="-top1", as_json=True, columns="name,top1"))
    assert [r["name"] for r in found] == ["dpn-98", "dpn-131", "dpn-107-extra"]
    rows = json.loads(say("resnet10-*", sort="top1", as_json=True, columns="name,top1"))
    assert [r["top1"] for r in rows] == [30.66, 35.93, 44.78, None]
    rows = json.loads(say("resnet10-*", sort="-top1", as_json=True, columns="name,top1"))
    assert [r["top1"] for r in rows] == [44.78, 35.93, 30.66, None]


def test_csv_and_markdown(say: Say) -> None:
    rows = list(csv.DictReader(io.StringIO(say("se-*", as_csv=True, columns="name,top1,origin"))))
    assert len(rows) == 8
    assert {r["origin"] for r in rows} == {"hujie-frank/SENet", "shicai/SENet-Caffe"}
    lines = say("senet", as_markdown=True, columns="name,top1,top1_12,top1_large,mean").splitlines()
    assert lines == [
        "| network | top-1 % | 12-crop top-1 % | large top-1 % | mean BGR |",
        "|---|---:|---:|---:|---|",
        "| senet | 18.67 | 17.40 | 17.28 | 104 117 123 |",
    ]


def test_usage(say: Say) -> None:
    for options, error in [
        ({"as_json": True, "as_csv": True}, "exclude each other"),
        ({"columns": ","}, "names no column"),
        ({"columns": "name,tpo1"}, "did you mean top1"),
        ({"sort": "gmac"}, "did you mean gmacs"),
        ({"where": "gmac < 1"}, "did you mean gmacs"),
        ({"family": "dpm"}, "did you mean dpn"),
    ]:
        with pytest.raises(UsageError, match=error):
            say(**options)
    with pytest.raises(UnknownNameError) as caught:
        say("dpn-93")
    assert len(caught.value.nearest) == 3
    assert say("nothing*", columns="name").splitlines()[-1] == "0 networks"


def test_every_column_of_every_network_but_the_costs() -> None:
    zoo = load_index()
    for name in zoo:
        record, entry = zoo.record(name), zoo.network(name)
        row = {key: column.value(name, record, None) for key, column in COLUMNS.items() if not column.computed}
        best = entry.headline
        assert (row["top1"], row["top5"]) == ((best.error(1), best.error(5)) if best else (None, None)), name
        assert row["resize"] == entry.preset().resize
        assert (row["base"], row["crop"]) == (entry.preset().base_size.plain, entry.preset().crop_size.plain)
        assert row["classes"] == entry.labels.classes
        assert row["sources"] == len(entry.weights)
    assert headline({}) == {}
    assert error_percent({"top1_accuracy": 70.4}, 1) == 29.6


def test_the_cost_cache(tmp_path: Path) -> None:
    entry = load_index().network("squeezenet-v1.1")
    item = (entry.prototxt_path, 227)
    missing = (tmp_path / "missing.prototxt", 227)
    asked: list[tuple[int, int]] = []
    first = network_costs([item, missing], lambda done, total: asked.append((done, total)))
    assert asked == [(0, 2), (1, 2), (2, 2)]
    assert isinstance(first[missing], Exception)
    file = tmp_path / "cache" / "costs.json"
    assert network_costs([item], lambda done, total: asked.append((9, 9)))[item] == first[item]
    assert (9, 9) not in asked
    kept = json.loads(file.read_text())
    ((key, value),) = kept.items()
    file.write_text(json.dumps({key: {**value, "macs": 7}}))
    assert network_costs([item])[item]["macs"] == 7  # type: ignore[index]
    for broken in (b"", b"[]", b'{"x": 1}', json.dumps({key: {"macs": "7"}}).encode()):
        file.write_bytes(broken)
        assert network_costs([item])[item] == first[item]


def test_a_broken_prototxt_is_a_warning(say: Say, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.prototxt").write_text("layer {")
    own = tmp_path / "own.yaml"
    own.write_text("version: 1\nnetworks:\n  mine: {family: dpn, prototxt: bad.prototxt}\n")
    list_networks("mine", None, None, None, "name,gmacs", False, True, False, own)
    captured = capsys.readouterr()
    assert captured.out == "name,gmacs\nmine,\n"
    assert "no cost for network 'mine'" in captured.err


def test_a_warm_list_costs_less_than_300_ms_beside_the_command_line_library(tmp_path: Path) -> None:
    """Our own share: with the caches warm, importing and printing all; typer and pydantic are not ours to time."""
    code = (
        "import sys, time; import typer, caffezoo.cli.list as l; start = time.process_time();"
        "l.list_networks('*', None, None, None, 'name,family,top1,top5,labels,weights', False, False, False, None);"
        "print(time.process_time() - start, file=sys.stderr); print('pydantic.main' in sys.modules, file=sys.stderr)"
    )
    environment = {**os.environ, "CAFFEZOO_CACHE": str(tmp_path / "cache")}
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        seconds.append(float(run.stderr.split()[0]))
        assert time.monotonic() - started < 60
    assert min(seconds) < 0.15
    for heavy in ("numpy", "openvino", "onnx"):
        run = subprocess.run(
            [sys.executable, "-c", f"{code.replace('pydantic.main', heavy)}"],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert run.stderr.split()[1] == "False", heavy


def test_shell_completion() -> None:
    assert complete_network("dpn-9") == ["dpn-92", "dpn-98"]
    environment = {
        **os.environ,
        "_CAFFEZOO_COMPLETE": "complete_bash",
        "COMP_WORDS": "caffezoo list dpn-1",
        "COMP_CWORD": "2",
    }
    code = "from caffezoo.cli.main import main; main([])"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.stdout.split() == ["dpn-131", "dpn-107-extra"], run.stderr
