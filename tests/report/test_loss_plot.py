"""Curves of trainings, from logs of real Caffe."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from caffezoo.report.loss_plot import Series, curve_series, loss_figure, rate_steps
from caffezoo.report.records import record_rows
from caffezoo.report.store import Store
from caffezoo.report.zoo_data import ZooData
from caffezoo.training.caffe_log import training_record
from caffezoo.zoo.index import load_index

LOGS = Path(__file__).resolve().parents[1] / "training/logs"


def trained(folder: Path, *logs: str) -> ZooData:
    store = Store(folder)
    for name in logs:
        text = (LOGS / f"{name}.log").read_text()
        store.append(record_rows(training_record(text, "resnet18-priv", datetime.now(UTC)), name))
    return ZooData(load_index(), store)


def test_series_and_steps_of_the_rate(tmp_path: Path) -> None:
    data = trained(tmp_path, "multistep")
    series = {s.title: s for s in curve_series(data.curves)}
    assert list(series) == ["test: accuracy", "test: loss", "train: total loss", "train: loss", "train: learning rate"]
    assert rate_steps(series["train: learning rate"]) == [(0, 0.05), (300, 0.005), (460, 0.0005)]


def test_the_figure_has_losses_test_outputs_and_steps(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = loss_figure(trained(tmp_path, "multistep"), "resnet18-priv")
    loss, metric = figure.axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == [
        "test: loss",
        "train: total loss",
        "train: loss",
    ]
    assert [text.get_text() for text in metric.get_legend().get_texts()] == ["test: accuracy"]
    assert [text.get_text() for text in loss.texts] == ["rate 0.005", "rate 0.0005"]
    assert "500 of 500 iterations, SGD, base rate 0.05" in loss.get_title(loc="left")


def test_a_diverged_training_has_gaps(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    data = trained(tmp_path, "multistep", "diverged", "fail-data")
    run = next(row.run for row in data.training if row.learning_rate == 50)
    figure = loss_figure(data, "resnet18-priv", run)
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    assert math.isnan(lines["train: loss"][-1])
    figure.draw_without_rendering()
    failed = next(row.run for row in data.training if row.note)
    assert "Caffe stopped at iteration 60" in loss_figure(data, "resnet18-priv", failed).axes[0].get_title(loc="left")


def test_a_resumed_training_breaks_the_line() -> None:
    from caffezoo.report.loss_plot import _with_gaps

    x, y = _with_gaps([(0, 3.0), (20, 2.0), (10, 1.5), (30, math.inf)])
    assert x[:2] == [0, 20]
    assert math.isnan(x[2])
    assert x[3:] == [10, 30]
    assert math.isnan(y[4])


def test_a_rate_that_changes_all_the_time_has_many_steps() -> None:
    points = tuple((i, 0.1 / (1 + i)) for i in range(50))
    assert len(rate_steps(Series("train", "learning_rate", "learning rate", points))) == 50
