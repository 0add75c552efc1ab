"""Tables of the command line at every width: no cell vanishes, a row is a line in a pipe, no terminal is overrun."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import sys
import termios
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from caffezoo.cli import engines as engines_verb
from caffezoo.cli.check import Checked
from caffezoo.cli.check import _print as print_checked
from caffezoo.cli.fetch_display import print_summary as print_fetched
from caffezoo.cli.main import main
from caffezoo.cli.text_table import NARROWEST, fold, table_lines
from caffezoo.engines.registry import EngineInfo
from caffezoo.report.records import record_rows
from caffezoo.report.store import Store
from tests.report.measurements import evaluation_record, time_record
from tests.timing.test_binary import caffe  # noqa: F401

SHORT = "CPU"
LONG = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz with [bold]AVX-512[/bold], AMX_BF16 and a name of its own"
WIDTHS = (None, 60, 80, 160)
Print = Callable[[int | None, Callable[[], object]], str]


def ink(texts: Iterable[str]) -> Counter[str]:
    """Count what can be seen."""
    return Counter("".join("".join(texts).split()))


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Print:
    """Return what is printed into a pipe, or on a terminal of a width."""

    def run(width: int | None, work: Callable[[], object]) -> str:
        reader, writer = os.pipe() if width is None else pty.openpty()
        if width is not None:
            settings = termios.tcgetattr(writer)
            settings[1] &= ~termios.OPOST
            termios.tcsetattr(writer, termios.TCSANOW, settings)
            fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        monkeypatch.delenv("COLUMNS", raising=False)
        parts: list[bytes] = []

        def read() -> None:
            try:
                while part := os.read(reader, 1 << 16):
                    parts.append(part)
            except OSError:  # how a terminal ends
                pass

        thread = threading.Thread(target=read)
        thread.start()
        with monkeypatch.context() as context, open(writer, "w", encoding="utf-8") as stream:
            context.setattr(sys, "stdout", stream)
            with suppress(SystemExit):
                work()
        thread.join()
        os.close(reader)
        return b"".join(parts).decode()

    return run


def holds(text: str, width: int | None, rows: int, cells: Iterable[str]) -> None:
    """Assert that a table holds all its cells, and is as wide as it may be."""
    lines = text.splitlines()
    missing = ink(cells) - ink([text])
    assert not missing, f"lost at {width} columns: {missing}\n{text}"
    if width is None:
        assert len(lines) == rows
    else:
        assert max(map(cell_len, lines)) <= width, text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("device", [SHORT, LONG], ids=["short", "long"])
def test_engines(printed: Print, monkeypatch: pytest.MonkeyPatch, width: int | None, device: str) -> None:
    infos = [
        EngineInfo("openvino", True, "2026.4.1-21919-abcdef-releases/2026/4", (device, f"GPU.0 ({device})"),
                   ("float32", "float16", "bfloat16"), ""),
        EngineInfo("caffe", False, "", (), (), "real Caffe is not here; give the Python that has pycaffe"),
    ]  # fmt: skip
    monkeypatch.setattr("caffezoo.engines.registry.engine_infos", lambda python: infos)
    text = printed(width, lambda: engines_verb.engines(caffe_python=None, as_json=False))
    cells = ["engine version precisions device", "not here", infos[1].problem, infos[0].version, *infos[0].devices]
    holds(text, width, 3, [*cells, "float32, float16, bfloat16", "openvino", "caffe"])


@pytest.mark.parametrize("width", WIDTHS)
def test_list(printed: Print, width: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(printed(None, lambda: main(["list", "dpn-*", "--columns", "all", "--json"])))
    text = printed(width, lambda: main(["list", "dpn-*", "--columns", "all"]))
    names = [str(row[name]) for row in rows for name in ("name", "family", "prototxt", "origin", "aliases", "mean")]
    holds(text, width, len(rows) + 2, names)
    assert "counting" not in capsys.readouterr().out


@pytest.mark.parametrize("width", WIDTHS)
def test_show(printed: Print, tmp_path: Path, width: int | None) -> None:
    names = [
        "[bold]x[/bold]",
        "a/very/long/name/of/a/layer/as/inception/networks/have/them_[1x1]_" + "reduce" * 9,
        "é世界",
    ]
    layers, below = "", "data"
    for name in names:
        layers += f'layer {{ name: "{name}" type: "Convolution" bottom: "{below}" top: "{name}" '
        layers += "convolution_param { num_output: 4096 kernel_size: 3 } }\n"
        below = name
    file = tmp_path / "net.prototxt"
    file.write_text(f'input: "data" input_shape {{ dim: 1 dim: 3 dim: 512 dim: 512 }}\n{layers}', encoding="utf-8")
    text = printed(width, lambda: main(["show", str(file)])).split("\n\n")[0]
    macs = f"{508 * 508 * 4096 * 4096 * 9:,}"
    holds(text, width, 5, [*names, *3 * ["Convolution"], "1x4096x510x510 1x4096x508x508", macs, "parameters"])
    assert width == 60 or macs in text


@pytest.mark.parametrize("width", WIDTHS)
def test_check(printed: Print, width: int | None) -> None:
    fault = "top 'prob' is (1, 999), [labels] has 1000 classes and none is named in the list of synsets"
    found = [Checked("densenet161-cls-of-somebody", 28_681_000, 7.78, 431, 680, "224/320", faults=[fault])]
    text = printed(width, lambda: print_checked(found)).rpartition("0 of 1")[0]
    holds(text, width, 2, [fault, "28,681,000 7.780 431 680 224/320 ONNX ops BVLC layers"])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("device", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("table", ["accuracy", "time"])
def test_results(printed: Print, tmp_path: Path, width: int | None, device: str, table: str) -> None:
    store = Store(tmp_path)
    store.append(record_rows(evaluation_record(device=device), "test"))
    store.append(record_rows(time_record(device=device), "test"))
    text = printed(width, lambda: main(["results", "list", table, "--results", str(tmp_path)]))
    row = (store.accuracy() if table == "accuracy" else store.time()).rows[0]
    cells = [row.run, row.network, row.engine, row.precision]
    holds(text, width, 2, [*cells, *([device] if table == "time" else [])])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("device", [SHORT, LONG], ids=["short", "long"])
def test_time(
    printed: Print,
    caffe: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    width: int | None,
    device: str,
) -> None:
    from caffezoo.timing.measurement import Measurement

    kept: list[Measurement] = []
    real = Measurement.__init__

    def named(self: Measurement, *arguments: Any, **fields: Any) -> None:
        real(self, *arguments, **fields)
        object.__setattr__(self, "device", device)
        kept.append(self)

    monkeypatch.setattr(Measurement, "__init__", named)
    text = printed(width, lambda: main(["time", "--net", "dpn-92,vgg16", "--caffe", caffe])).rpartition("\n\n")[2]
    assert len(kept) == 2
    cells = ["network engine device forward ms backward ms spread runs MiB", 2 * device, "dpn-92 vgg16"]
    holds(text, width, 3, cells)


@pytest.mark.parametrize("width", WIDTHS)
def test_fetch_and_cache(printed: Print, width: int | None) -> None:
    place = "https://example.invalid/a/very/long/address/with/[brackets]/" + "x" * 60 + "/net.caffemodel"
    rows: list[dict[str, Any]] = [
        {"network": "dpn-92", "state": "fetched", "bytes": 151_000_000, "seconds": 12.5, "sha256": "ab" * 32,
         "check": "published", "source": place, "converted": True},
        {"network": "senet", "state": "failed", "seconds": 0.25},
    ]  # fmt: skip
    text = printed(width, lambda: print_fetched(rows, "/cache")).rpartition("in /cache")[0]
    holds(text, width, 3, [place, "(converted)", "151,000,000 12.50 0.25", "ab" * 8, "published fetched failed senet"])


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


@given(st.lists(st.tuples(TEXTS, st.integers(0, 10**12), TEXTS, TEXTS), max_size=4), st.none() | st.integers(40, 200))
def test_no_cell_is_lost_at_any_width(rows: list[tuple[str, int, str, str]], width: int | None) -> None:
    titles = ("network", "bytes", "device", "source")
    cells = [(a, f"{n:,}", b, c) for a, n, b, c in rows]
    lines = table_lines(titles, cells, right=("bytes",), width=width)
    wanted = [c if c.isprintable() else ascii(c)[1:-1] for row in cells for text in row for c in text]
    assert not ink(wanted) - ink(lines)
    if width is None:
        assert len(lines) == len(rows) + 1
    else:
        assert all(cell_len(line) <= width for line in lines)


@given(TEXTS, st.integers(NARROWEST, 50))
def test_a_text_folds_between_words(text: str, width: int) -> None:
    pieces = fold(text, width)
    assert ink(pieces) == ink([text])
    assert all(cell_len(piece) <= width for piece in pieces)


def test_columns_goes_before_the_terminals_own_width(printed: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        monkeypatch.setenv("COLUMNS", "160")
        main(["list", "dpn-92"])

    assert "weights" in printed(60, work).splitlines()[0]


def test_numbers_stand_at_the_right_and_are_whole() -> None:
    lines = table_lines(("a", "n"), [("some words that wrap", "12,345"), ("b", "6")], right=("n",), width=24)
    assert lines == ["a                      n", "some words that   12,345", "wrap", "b                      6"]


def test_what_has_no_room_goes_below_its_row() -> None:
    lines = table_lines(("network", "device", "ms"), [("dpn-92", "a device of many words", "1.50")], ("ms",), 20)
    assert lines == ["network", "dpn-92", "    device a device", "    of many words", "    ms 1.50"]
