"""The engine that a trial chooses: by what rule, for how long it is remembered, and what a broken memory does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffezoo.errors import ZooError
from caffezoo.formats.image_size import Size
from caffezoo.timing.choice import (
    Trial,
    choose_engine,
    installed_versions,
    memory_file,
    remember,
    remembered,
    try_engines,
)
from caffezoo.timing.networks import Job
from tests.engines.networks import HERE, SMALL

DAY = "2026-12-01"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    file = tmp_path_factory.mktemp("net") / "small.prototxt"
    file.write_text(SMALL)
    return Job("small", file, None, 1)


@pytest.fixture(scope="module")
def made(job: Job, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, str, list[list[str]]]:
    """A real trial: what it found, what it wrote, and what it said that it would try."""
    asked: list[list[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAFFEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        found = try_engines(job, "float32", 1, on_trial=lambda names: asked.append(list(names)))
        return found, memory_file(job, "float32", 1).read_text(), asked


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_memory(job: Job, content: str, **changes: object) -> Path:
    """Put what a trial wrote into this test's cache, with some of it changed."""
    file = memory_file(job, "float32", 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**json.loads(content), **changes}))
    return file


def trial(**ms: float) -> Trial:
    return Trial(ms, {}, DAY)


@pytest.mark.parametrize(
    ("ms", "engine"),
    [
        ({"openvino": 10.0, "onnxruntime": 12.0, "torch": 30.0}, "openvino"),
        ({"openvino": 10.0, "onnxruntime": 9.4, "torch": 30.0}, "onnxruntime"),
        ({"openvino": 10.0, "onnxruntime": 9.6}, "openvino"),
        ({"onnxruntime": 9.6, "torch": 9.5}, "torch"),
        ({"openvino": 10.0}, "openvino"),
    ],
    ids=["fastest", "gain-counts", "gain-too-small", "no-default", "alone"],
)
def test_the_fastest_is_chosen_where_the_gain_counts(ms: dict[str, float], engine: str) -> None:
    choice = choose_engine([trial(**ms)])
    assert choice.engine == engine
    assert all(name in choice.why for name in ms if name != engine)


def test_a_gain_that_does_not_count_is_said() -> None:
    assert "gains less than 5%" in choose_engine([trial(openvino=10.0, onnxruntime=9.6)]).why


def test_several_networks_are_counted_together_and_an_engine_must_run_all() -> None:
    assert choose_engine([trial(openvino=1.0, torch=9.0), trial(openvino=30.0, torch=10.0)]).engine == "torch"
    assert choose_engine([trial(openvino=9.0, torch=1.0), trial(openvino=9.0)]).engine == "openvino"


def test_an_engine_that_fails_is_named_and_where_all_fail_the_default_will_say_why() -> None:
    choice = choose_engine([Trial({"openvino": 1.0}, {"torch": "layer 'x': no"}, DAY)])
    assert (choice.engine, "torch cannot: layer 'x': no" in choice.why) == ("openvino", True)
    nobody = choose_engine([Trial({}, {"openvino": "no", "torch": "no"}, DAY)])
    assert (nobody.engine, "no engine ran it" in nobody.why) == ("openvino", True)


Made = tuple[Trial, str, list[list[str]]]


def test_a_trial_runs_what_is_installed(made: Made) -> None:
    found, _, asked = made
    assert asked == [list(installed_versions())]
    assert set(found.ms) == set(installed_versions()) >= set(HERE)
    assert min(found.ms.values()) > 0
    assert (found.failed, found.remembered) == ({}, False)
    assert choose_engine([found]).engine in found.ms


def test_it_is_remembered_and_not_made_again(job: Job, made: Made) -> None:
    assert remembered(job, "float32", 1) is None
    write_memory(job, made[1])
    again = try_engines(job, "float32", 1, on_trial=lambda names: pytest.fail("a second trial"))
    assert (again.ms, again.remembered) == (made[0].ms, True)
    assert "remembered from" in choose_engine([again]).why
    slow = {"openvino": 100.0, "onnxruntime": 1.0}
    write_memory(job, made[1], ms=slow)
    assert choose_engine([try_engines(job, "float32", 1)]).engine == "onnxruntime"


@pytest.mark.parametrize("name", ["openvino", "onnxruntime", "caffezoo", "cpu", "cores"])
def test_another_version_or_cpu_is_another_question(job: Job, made: Made, name: str) -> None:
    known = json.loads(made[1])["depends_on"]
    write_memory(job, made[1], depends_on={**known, name: "another"})
    assert remembered(job, "float32", 1) is None


def test_an_engine_that_came_or_went_is_another_question(job: Job, made: Made) -> None:
    known = json.loads(made[1])["depends_on"]
    write_memory(job, made[1], depends_on={**known, "newruntime": "1"})
    assert remembered(job, "float32", 1) is None
    write_memory(job, made[1], depends_on={k: v for k, v in known.items() if k != "onnxruntime"})
    assert remembered(job, "float32", 1) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"ms": {"openvino": 1}}', "\x00\xff", "[" * 100_000],
    ids=["empty", "cut", "list", "null", "less", "bytes", "deep"],
)
def test_a_memory_that_is_broken_is_ignored(job: Job, made: Made, content: str) -> None:
    write_memory(job, made[1]).write_text(content, encoding="latin-1")
    assert remembered(job, "float32", 1) is None


@pytest.mark.parametrize(
    "ms",
    [{}, {"openvino": -1}, {"openvino": "fast"}, {"gone": 1.0}, {"openvino": 1e999}, 3],
    ids=["none", "negative", "word", "gone", "infinite", "number"],
)
def test_times_that_cannot_be_are_ignored(job: Job, made: Made, ms: object) -> None:
    write_memory(job, made[1], ms=ms)
    assert remembered(job, "float32", 1) is None


def test_a_broken_memory_is_replaced_whole(job: Job, made: Made) -> None:
    file = write_memory(job, made[1])
    file.write_text("{")
    remember(job, "float32", 1, made[0])
    assert json.loads(file.read_text()) == json.loads(made[1])
    assert [other.name for other in file.parent.iterdir()] == [file.name]


def test_a_cache_that_cannot_be_written_costs_nothing_else(job: Job, made: Made, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    remember(job, "float32", 1, made[0])
    assert remembered(job, "float32", 1) is None


def test_other_questions_have_other_answers(job: Job, tmp_path: Path) -> None:
    other = tmp_path / "other.prototxt"
    other.write_text(SMALL.replace("num_output: 8", "num_output: 9"))
    files = {
        memory_file(job, "float32", 1),
        memory_file(job, "float32", 2),
        memory_file(job, "bfloat16", 1),
        memory_file(Job("small", job.prototxt, None, 2), "float32", 1),
        memory_file(Job("small", job.prototxt, Size(32, 32), 1), "float32", 1),
        memory_file(Job("small", other, None, 1), "float32", 1),
    }
    assert len(files) == 6


def test_what_no_engine_runs_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text('layer { name: "x" type: "NoSuchLayer" top: "x" }')
    job = Job("net", file, None, 1)
    found = try_engines(job, "float32", 1)
    assert found.ms == {}
    assert all("NoSuchLayer" in why for why in found.failed.values())
    assert not memory_file(job, "float32", 1).exists()
    with pytest.raises(ZooError, match="NoSuchLayer"):
        job.load()
