"""``caffezoo precision`` from flags to tables, on a small network in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffezoo.cli.main import main
from caffezoo.report.store import Store
from tests.precision.networks import flags, write_files

DTYPES = "float32,float16-storage,int8"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))
    return write_files(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["precision", *map(str, arguments)])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


def test_int8_without_calibration_or_cache_is_left_out_with_the_cure(files: Path, capsys) -> None:
    status, out, err = run(capsys, *flags(files), "--dtypes", DTYPES, "--format", "json")
    assert status == 0
    assert [r["precision"] for r in json.loads(out)["results"]] == ["float32", "float16-storage"]
    assert "int8 is left out" in err
    assert "--calibration" in err


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json"])
def test_every_format_holds_every_precision(files: Path, capsys, form: str) -> None:
    pytest.importorskip("nncf", reason="needs NNCF: pip install 'caffezoo[int8]'")
    calibration = ["--calibration", files / "calibration"]
    status, out, _ = run(capsys, *flags(files), "--dtypes", DTYPES, *calibration, "--format", form)
    assert status == 0
    assert all(name in out for name in DTYPES.split(","))
    if form == "json":
        first, storage, quantised = json.loads(out)["results"]
        assert first["images"] == 12
        assert first["agreement"] == 1
        assert storage["weight_bytes"] * 2 == first["weight_bytes"]
        assert quantised["weight_bytes"] < storage["weight_bytes"]
        assert storage["largest_score_difference"] < 1e-2
        assert 0 < storage["top1_p"] <= 1


def test_recorded_rows_are_what_was_printed(files: Path, capsys) -> None:
    pytest.importorskip("nncf", reason="needs NNCF: pip install 'caffezoo[int8]'")
    store = files / "results"
    asked = [*flags(files), "--dtypes", DTYPES, "--calibration", files / "calibration", "--format", "json"]
    status, out, err = run(capsys, *asked, "--results", store)
    assert (status, "--results is for --record" in err) == (2, True)
    assert run(capsys, *asked, "--record", "--results", store)[0] == 2  # there is no such folder
    store.mkdir()
    status, out, err = run(capsys, *asked, "--record", "--results", store)
    assert status == 0
    rows = Store(store).precision().rows
    assert all(row.run in err for row in rows)
    printed = json.loads(out)["results"]
    assert [row.precision for row in rows] == [one["precision"] for one in printed] == DTYPES.split(",")
    assert [row.top1_error for row in rows] == [one["top1_error"] for one in printed]
    assert [row.agreement for row in rows] == [100 * one["agreement"] for one in printed]
    assert [row.top1_p for row in rows] == [None, *(one["top1_p"] for one in printed[1:])]
    assert [row.calibration_images for row in rows] == [None, None, 10]
    assert {(row.data, row.images, row.against, row.weights) for row in rows} == {("images", 12, "float32", "trained")}
    assert rows[2].calibration == "calibration"


def test_seeded_networks_record_agreement_alone(tmp_path: Path, files: Path, capsys) -> None:
    store = tmp_path / "results"
    store.mkdir()
    data = ["--data", files / "images", "--val-file", files / "list.txt", "--limit", "2"]
    asked = ["--net", "squeezenet-v1.1", "--seeded", "--dtypes", "float32,float16-storage", *data]
    status, _, err = run(capsys, *asked, "--record", "--results", store)
    assert status == 0, err
    first, storage = Store(store).precision().rows
    assert (first.network, first.weights, first.top1_error, storage.top1_p) == ("squeezenet-v1.1", "seeded", None, None)
    assert (first.agreement, storage.against) == (100, "float32")
    assert storage.weight_bytes * 2 == first.weight_bytes


def test_max_drop_names_what_it_keeps(files: Path, capsys) -> None:
    pytest.importorskip("nncf", reason="needs NNCF: pip install 'caffezoo[int8]'")
    calibration = ["--calibration", files / "calibration", "--max-drop", "100"]
    status, out, _ = run(capsys, *flags(files), "--dtypes", "float32,int8", *calibration, "--format", "json")
    record = json.loads(out)
    assert status == 0
    assert record["kept"] == []
    assert record["evaluations"] == 1


def test_calibrating_on_evaluated_images_is_refused(files: Path, capsys) -> None:
    status, out, err = run(capsys, *flags(files), "--dtypes", "float32,int8", "--calibration", files / "images")
    assert status == 1
    assert out == ""
    assert "calibrated on" in err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--dtypes", "float32,float8"],
        ["--dtypes", "float32,float32"],
        ["--dtypes", ""],
        ["--dtypes", "float32", "--calibration", "sample"],
        ["--dtypes", "float32,int8", "--max-drop", "1"],
        ["--format", "html"],
        ["--seeded"],
    ],
    ids=lambda wrong: " ".join(wrong),
)
def test_flags_that_make_no_sense(files: Path, capsys, wrong: list[str]) -> None:
    status, out, err = run(capsys, *flags(files), *wrong)
    assert status == 2
    assert out == ""
    assert err.startswith("caffezoo: error:")


def test_layers_lists_the_noise_and_draws_it(files: Path, capsys) -> None:
    pytest.importorskip("nncf", reason="needs NNCF: pip install 'caffezoo[int8]'")
    pytest.importorskip("matplotlib")
    picture = files / "noise.png"
    network = [files / "net.prototxt", "--weights", files / "net.caffemodel", "--mean", 1, 2, 3]
    status, out, _ = run(capsys, "layers", *network, "--calibration", files / "calibration", "--plot", picture)
    assert status == 0
    assert all(layer in out for layer in ("conv1", "conv/2", "fc"))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_scan_prints_both_forms_and_every_noise(files: Path, capsys) -> None:
    pytest.importorskip("torch", reason="needs PyTorch")
    network = [files / "net.prototxt", "--weights", files / "net.caffemodel"]
    status, out, _ = run(capsys, "scan", *network, "--json")
    found = json.loads(out)
    assert status == 0
    assert [n["form"] for n in found["noise"]] == [
        "every layer",
        "batch norm in float32",
        "folded, every layer",
        "weights only",
    ]
    status, out, _ = run(capsys, "scan", *network, "--data", files / "images", "--mean", 1, 2, 3, "--samples", 3)
    assert "as published: float16 holds every value" in out
    assert "folded: float16 holds every value" in out
    assert "of 3, scores by" in out


def test_evaluate_and_classify_in_8_bits(files: Path, capsys) -> None:
    pytest.importorskip("nncf", reason="needs NNCF: pip install 'caffezoo[int8]'")

    def verb(*arguments: object) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    status, _, err = verb("evaluate", *flags(files), "--precision", "int8", "--json")
    assert status == 1
    assert "--calibration" in err
    calibration = ["--calibration", files / "calibration"]
    status, out, _ = verb("evaluate", *flags(files), "--precision", "int8", *calibration, "--json")
    assert status == 0
    assert json.loads(out)["precision"] == "int8"
    network = [files / "net.prototxt", files / "net.caffemodel", "--mean", 100, "--base-size", 28]
    status, out, _ = verb("classify", files / "images" / "00.png", *network, "--precision", "int8")
    assert status == 0  # what evaluate has quantised is in the cache
    (files / "images" / "00.png").write_bytes((files / "calibration" / "00.png").read_bytes())
    status, out, err = verb("evaluate", *flags(files), "--precision", "int8", "--json", "--no-resume")
    assert (status, out) == (1, "")
    assert "calibrated on" in err
    status, _, err = verb("evaluate", *flags(files), *calibration)
    assert status == 2


def test_times_in_8_bits_need_no_images(files: Path, capsys) -> None:
    pytest.importorskip("nncf", reason="needs NNCF: pip install 'caffezoo[int8]'")
    arguments = ["time", "--net", files / "net.prototxt", "--precision", "int8", "--iterations", "2", "--forward-only"]
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments), "--json"])
    assert not caught.value.code
    assert json.loads(capsys.readouterr().out.splitlines()[0])["precision"] == "int8"
