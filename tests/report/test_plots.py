"""Figures: the points that they are made of, and files that are pictures."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import DataError, UnknownNameError, UsageError
from caffezoo.report.cost_plot import Point, cost_figure, cost_points, pareto_front
from caffezoo.report.crop_plot import Curve, crop_curves, crop_figure, networks_with_curves
from caffezoo.report.figure import save
from caffezoo.report.layer_plot import layer_figure, layers_of
from caffezoo.report.records import record_rows
from caffezoo.report.store import Store
from caffezoo.report.zoo_data import ZooData
from caffezoo.zoo.index import load_index
from tests.report.measurements import evaluation_record, time_record


@pytest.fixture
def data(tmp_path: Path) -> ZooData:
    return ZooData(load_index(), Store(tmp_path))


@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(1, 60)), min_size=1, max_size=30))
def test_the_front_is_what_no_other_beats(pairs: list[tuple[float, float]]) -> None:
    points = [Point(str(i), "f", cost, error) for i, (cost, error) in enumerate(pairs)]
    front = pareto_front(points)
    for point in points:
        beaten = [
            p
            for p in points
            if p.cost <= point.cost and p.error <= point.error and (p.cost, p.error) != (point.cost, point.error)
        ]
        assert any((p.cost, p.error) == (point.cost, point.error) for p in front) == (not beaten)


def test_points_are_published_errors_and_computed_costs(data: ZooData) -> None:
    points = {p.network: p for p in cost_points(data, "macs", 1)}
    point = points["dpn-92"]
    assert (point.error, point.measured, point.stated) == (20.81, False, True)
    assert point.cost == pytest.approx(6.54, abs=0.05)  # 6.5 GFLOPs (multiply-adds) in the DPN paper, arXiv:1707.01629
    assert not points["squeezenet-v1.1"].stated
    assert "study-alexnet" not in points
    assert cost_points(data, "parameters", 5)[0].cost < 200


def test_a_measured_error_takes_the_published_ones_place(data: ZooData) -> None:
    record = {**evaluation_record(), "top1_error": 20.5, "top1_interval": [20.1, 20.9]}
    data.store.append(record_rows(record, "test"))
    (point,) = [p for p in cost_points(data, "macs", 1) if p.network == "dpn-92"]
    assert (point.error, point.measured) == (20.5, True)


def test_times_are_of_one_device(data: ZooData) -> None:
    points = {p.network: p.cost for p in cost_points(data, "time", 1)}
    assert points["resnet10-1x32d"] == 2.19
    assert "dpn-92" not in points


def test_times_measured_in_an_engine(data: ZooData) -> None:
    assert cost_points(data, "time", 1, "openvino") == []
    for threads, networks in ((2, ("dpn-92", "vgg16")), (1, ("senet",))):
        for name in networks:
            rows = record_rows(time_record(network=name, threads=threads, crop_size=224, layers=None), "test")
            data.store.append(rows)
    fresh = ZooData(data.index, data.store)
    assert {(p.network, p.cost) for p in cost_points(fresh, "time", 1, "openvino")} == {
        ("dpn-92", 75.25),
        ("vgg16", 75.25),
    }
    pytest.importorskip("matplotlib")
    assert "measured: openvino float32" in cost_figure(fresh, "time", 1, "openvino").axes[0].get_xlabel()


def test_curves(data: ZooData) -> None:
    curves = crop_curves(data, "dpn-92")
    assert curves[0] == Curve(1, 1, False, ((224, 20.81), (320, 19.23)))
    assert len(curves) == 4
    data.store.append(record_rows(evaluation_record(protocol={"base_size": 288, "crop_size": 256}), "test"))
    fresh = ZooData(data.index, data.store)
    assert Curve(1, 1, True, ((256, 20.81),)) in crop_curves(fresh, "dpn-92")
    assert "dpn-92" in networks_with_curves(data)
    assert "alexnet" not in networks_with_curves(data)


def test_layers_come_from_the_newest_run_in_order(data: ZooData) -> None:
    for date, ms in (("2026-01-02T00:00:00Z", 1.0), ("2026-01-01T00:00:00Z", 2.0)):
        layers = [{"layer": "a", "layer_type": "ReLU", "forward_ms": ms}]
        data.store.append(record_rows(time_record(date=date, layers=layers), "test"))
    whole, layers = layers_of(data, "dpn92")
    assert (whole.date[:10], [layer.forward_ms for layer in layers]) == ("2026-01-02", [1.0])
    older = data.time[0].run
    assert layers_of(data, "dpn92", older)[0].run == older
    with pytest.raises(DataError, match="no run 'ffff'"):
        layers_of(data, "dpn92", "ffff")


def test_nothing_to_draw(data: ZooData) -> None:
    with pytest.raises(DataError, match="no run with times of layers"):
        layer_figure(data, "dpn-92")
    with pytest.raises(DataError, match="network 'open-nsfw'"):
        crop_figure(data, ["open-nsfw"])
    with pytest.raises(UnknownNameError):
        crop_figure(data, ["no-such-net"])


def test_without_matplotlib(data: ZooData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'caffezoo\[report\]'"):
        cost_figure(data)


def test_svg_says_what_it_shows_and_is_the_same_twice(data: ZooData, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        save(cost_figure(data), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    figure = cost_figure(data)
    texts = {text.get_text() for text in figure.axes[0].texts}
    front = {p.network for p in pareto_front(cost_points(data, "macs", 1))}
    assert texts == front
    assert "as published" in figure.axes[0].get_title(loc="left")


def test_names_of_the_front_hide_nothing(data: ZooData) -> None:
    pytest.importorskip("matplotlib")
    figure = cost_figure(data)
    figure.draw_without_rendering()
    from matplotlib.text import Text

    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures_are_written(data: ZooData, tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    data.store.append(record_rows(time_record(backward_ms=3.0), "test"))
    for number, figure in enumerate((crop_figure(data, ["dpn-92", "senet"]), layer_figure(data, "dpn-92"))):
        file = tmp_path / f"{number}.{ending}"
        save(figure, file)
        if ending == "png":
            cv2 = pytest.importorskip("cv2")
            image = cv2.imread(str(file))
            assert image.shape[0] > 200
            assert np.unique(image.reshape(-1, 3), axis=0).shape[0] > 20
        else:
            assert ET.parse(file).getroot().tag.endswith("svg")


def test_a_file_that_cannot_be_written(data: ZooData, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = crop_figure(data, ["dpn-92"])
    with pytest.raises(UsageError, match=r"use .png or .svg"):
        save(figure, tmp_path / "a.jpg")
    with pytest.raises(DataError, match="cannot be written"):
        save(figure, tmp_path / "absent" / "a.png")
