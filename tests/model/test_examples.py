"""The examples of docstrings and of docs/python.md run, in a folder with the files that they speak of."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import caffezoo
from caffezoo.model.loading import load
from tests.model.conftest import SIGHT

MODULES = ["model.model", "model.loading", "model.evaluating", "api"]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    module = importlib.import_module(f"caffezoo.{name}")
    found = doctest.testmod(module, extraglobs={"np": np, "caffezoo": caffezoo})
    assert found.attempted > 0
    assert found.failed == 0


def test_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    page = Path(__file__).parents[2] / "docs" / "python.md"
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted > 15
    assert found.failed == 0


def test_evaluate_is_what_the_command_measures(folder: Path) -> None:
    model = load(folder / "deploy.prototxt", folder / "net.caffemodel", **SIGHT)
    result = caffezoo.evaluate(model, folder / "labels.txt")
    alone = caffezoo.evaluate(
        folder / "deploy.prototxt", folder / "labels.txt", weights=folder / "net.caffemodel", **SIGHT
    )
    right = sum(
        seen.top[0].index == label
        for seen, label in zip(model.predict([folder / f"{i}.png" for i in range(3)]), (3, 1, 4), strict=True)
    )
    assert result.top1.errors == alone.top1.errors == 3 - right
    assert result.to_dict() == result.to_json()
    assert result.to_dict()["images"] == 3
    with pytest.raises(caffezoo.ZooError, match="has been made without crops"):
        caffezoo.evaluate(model, folder / "labels.txt", crops=12)
