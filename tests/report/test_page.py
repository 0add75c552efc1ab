"""The page's files: what is written where, code that runs, libraries, and folders that are refused."""

from __future__ import annotations

import importlib.util
import re
from html import unescape
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.errors import UsageError, ZooError
from caffezoo.report.page import write_report
from caffezoo.report.page_libraries import classic_script
from caffezoo.report.page_snippet import preprocessing_code
from caffezoo.report.page_summary import MAX_SERIES, shown_series, summaries, weights_state
from caffezoo.report.records import record_rows
from caffezoo.report.store import Store
from caffezoo.report.zoo_data import ZooData
from caffezoo.zoo.index import Index, load_index
from tests.report.measurements import evaluation_record, time_record


def small(folder: Path, *names: str, **changes: dict[str, Any]) -> ZooData:
    whole = load_index()
    networks = {name: {**whole.record(name), **changes.get(name, {})} for name in names}
    return ZooData(Index(whole.sources, whole.families, networks), Store(folder / "results"))


def test_the_code_to_copy_gives_the_networks_input(tmp_path: Path) -> None:
    index = load_index()
    image = np.random.default_rng(1).integers(0, 256, (371, 500, 3), np.uint8)
    file = tmp_path / "photo.jpg"
    cv2.imwrite(str(file), image)
    image = cv2.imread(str(file))
    seen: set[tuple[str, str]] = set()
    for name in index:
        entry = index.network(name)
        code = preprocessing_code(name, index.record(name)).replace("photo.jpg", str(file))
        seen.add((entry.preprocessing.resize, entry.input.channel_order))
        space: dict[str, Any] = {}
        exec(code, space)
        np.testing.assert_array_equal(space["x"], entry.preprocess(image), err_msg=name)
        if entry.preprocessing.large:
            call = code.rpartition("# at the large size: ")[2]
            space["image"] = image
            np.testing.assert_array_equal(eval(call, space), entry.preprocess(image, "large"), err_msg=name)
    assert len(seen) > 1


@pytest.mark.parametrize("order", ["BGR", "RGB", "grey"])
@pytest.mark.parametrize("resize", ["short", "squash"])
def test_the_code_to_copy_of_sizes_that_are_not_square(order: str, resize: str, tmp_path: Path) -> None:
    index = load_index()
    record = dict(index.record("efficientnet-lite0"))
    sizes = {"small": {"base_size": "70x101", "crop_size": "61x99"}, "large": {"base_size": 120, "crop_size": "99x110"}}
    levels = {"mean": [99.5], "std": [58.0]} if order == "grey" else {}
    record["preprocessing"] = {**record["preprocessing"], **sizes, **levels, "resize": resize}
    record["input"] = {"size": "61x99", "channel_order": order}
    entry = Index(index.sources, index.families, {"own": record}).network("own")
    for sides in ((80, 400), (300, 90), (70, 101)):
        image = np.random.default_rng(1).integers(0, 256, (*sides, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "photo.png"), image)
        code = preprocessing_code("own", record).replace("photo.jpg", str(tmp_path / "photo.png"))
        space: dict[str, Any] = {"image": image}
        exec(code, space)
        assert space["x"].shape == (1, 1 if order == "grey" else 3, 61, 99)
        np.testing.assert_array_equal(space["x"], entry.preprocess(image))
        call = code.rpartition("# at the large size: ")[2]
        np.testing.assert_array_equal(eval(call, space), entry.preprocess(image, "large"))


def test_a_report_has_a_page_for_each_network_and_nothing_from_outside(tmp_path: Path) -> None:
    data = small(tmp_path, "dpn-92", "open-nsfw")
    calls: list[tuple[int, int]] = []
    report = write_report(data, tmp_path / "a" / "b", jobs=2, progress=lambda *done: calls.append(done))
    assert calls == [(1, 2), (2, 2)]
    files = {str(f.relative_to(tmp_path / "a" / "b")): f for f in (tmp_path / "a" / "b").rglob("*") if f.is_file()}
    assert set(files) == {
        *(f"assets/{n}" for n in ("bokeh.js", "compare.js", "datatables.css", "datatables.js", "page.css", "page.js")),
        *("compare.html", "index.html", "networks/dpn-92.html", "networks/open-nsfw.html"),
    }
    assert report.networks == 2
    assert report.bytes == sum(f.stat().st_size for f in files.values())
    for name, file in files.items():
        if name.endswith(".html"):
            text = file.read_text()
            loaded = re.findall(r"<(?:script|link|img|iframe|object)[^>]*(?:src|href)=\"([^\"]*)\"", text)
            assert loaded
            assert not [address for address in loaded if "//" in address]
            assert "default-src 'none'" in text
    page = files["networks/dpn-92.html"].read_text()
    assert "No results measured with this package yet" in page
    assert "20.81" in page
    assert "6.502" in page
    assert "0B9mkjlmP0d7zaWVKWFd2OXpRTVU" in page  # the Google Drive id of its weights
    assert "reported dead 2020" in page
    layers = re.findall(r"<tr><td data-order=\"\d+\">", page)
    assert len(layers) > 300
    assert "No source of weights" not in page


def test_measured_results_stand_beside_published_ones(tmp_path: Path) -> None:
    data = small(tmp_path, "dpn-92", "vgg16")
    layers = [{"layer": "conv1", "layer_type": "Convolution", "forward_ms": 5.5, "backward_ms": 9.25}]
    data.store.append(record_rows({**evaluation_record(), "top1_error": 20.5, "top1_interval": [20.1, 20.9]}, "test"))
    data.store.append(record_rows(time_record(layers=layers), "test"))
    write_report(data, tmp_path / "site")
    page = (tmp_path / "site" / "networks" / "dpn-92.html").read_text()
    assert "<em>20.50 [20.10, 20.90]</em>" in page
    assert "<em>75.25 ± 0.50</em>" in page
    assert 'class="measured" data-order="9.25"' in page
    assert "Errors: measured with this package" in page
    assert "No results measured" in (tmp_path / "site" / "networks" / "vgg16.html").read_text()
    assert 'id="no-results"' not in (tmp_path / "site" / "index.html").read_text()


def test_times_of_other_devices_and_batches_are_series_of_their_own(tmp_path: Path) -> None:
    data = small(tmp_path, "dpn-92", "vgg16")
    for threads in range(1, MAX_SERIES + 3):
        data.store.append(record_rows(time_record(threads=threads, layers=None), "test"))
    data.store.append(record_rows(time_record(network="vgg16", threads=4, forward_ms=20.0, layers=None), "test"))
    data.store.append(record_rows(time_record(batch_size=8, threads=4, forward_ms=500.0, layers=None), "test"))
    measured = [one for one in shown_series(data) if one.measured]
    assert len(measured) == MAX_SERIES
    assert measured[0].title.endswith("4 threads")
    assert measured[0].forward_ms == {"dpn-92": 75.25, "vgg16": 20.0}
    rows = {row.network: row for row in summaries(data, measured)}
    assert rows["vgg16"].times == {"measured0": 20.0}


@pytest.mark.parametrize(
    ("weights", "state"),
    [
        ([], "never-published"),
        ([{"state": "reported-dead"}, {"state": "unknown"}], "unknown"),
        ([{"state": "reported-dead"}, {"state": "available", "training": "other"}], "reported-dead"),
        ([{"state": "unknown"}, {"state": "available", "training": "unknown"}], "available"),
    ],
)
def test_the_best_state_of_weights(weights: list[dict[str, str]], state: str) -> None:
    assert weights_state(weights) == state


def test_a_second_report_replaces_the_first_and_other_folders_are_refused(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_report(small(tmp_path, "vgg16", "open-nsfw"), site)
    write_report(small(tmp_path, "vgg16"), site)
    assert [f.name for f in (site / "networks").iterdir()] == ["vgg16.html"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "index.html").write_text("<title>my photos</title>")
    with pytest.raises(UsageError, match=r"photos: is neither empty nor a report"):
        write_report(small(tmp_path, "vgg16"), tmp_path / "photos")
    assert (tmp_path / "photos" / "index.html").read_text() == "<title>my photos</title>"
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match="cannot be written"):
        write_report(small(tmp_path, "vgg16"), tmp_path / "file")


def test_a_missing_library_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec

    def without_itables(name: str) -> ModuleSpec | None:
        return None if name == "itables" else found(name)

    monkeypatch.setattr("caffezoo.report.page_libraries.find_spec", without_itables)
    with pytest.raises(SystemExit) as stopped:
        main(["report", "--html", str(tmp_path / "site")])
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "the page needs itables, which is not installed" in said[0]
    assert "pip install 'caffezoo[report]'" in said[0]
    assert not (tmp_path / "site").exists()


def test_a_network_that_cannot_be_read_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "bad.prototxt").write_text('layer { name: "x" type: "Convolutoin" bottom: "nothing" top: "x" }')
    data = small(tmp_path, "vgg16", "dpn-92", **{"dpn-92": {"prototxt": str(tmp_path / "bad.prototxt")}})
    with pytest.raises(ZooError, match=r"bad\.prototxt"):
        write_report(data, tmp_path / "site", jobs=2)
    assert not (tmp_path / "site").exists()


def test_names_with_a_slash_have_pages_of_their_own(tmp_path: Path) -> None:
    whole = load_index()
    networks = {"a/b": dict(whole.record("vgg16")), "a-b": dict(whole.record("open-nsfw"))}
    data = ZooData(Index(whole.sources, whole.families, networks), Store(tmp_path / "results"))
    write_report(data, tmp_path / "site")
    index = (tmp_path / "site" / "index.html").read_text()
    linked = [unescape(a) for a in re.findall(r'<a href="(networks/[^"]*)"', index)]
    assert len(set(linked)) == 2
    assert all((tmp_path / "site" / address).is_file() for address in linked)


def test_a_module_becomes_a_script_that_sets_one_global() -> None:
    module = "/*! licence */ var a$=1;export{b as other,a$ as default};\n/*! more */"
    script = classic_script(module, "Table")
    assert "export" not in script
    assert "window.Table = a$;" in script
    assert "/*! licence */" in script
    assert "/*! more */" in script
    for broken in ("var a=1;", "export{a as b};", "export{a as default};export{b as default};"):
        with pytest.raises(UsageError, match="itables"):
            classic_script(broken, "Table")
