"""Real Caffe trains the drawn nets on the same data: its losses, test outputs, weights and states are ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from caffezoo.formats.caffemodel import read_weights
from caffezoo.formats.solverstate import read_solverstate
from caffezoo.training.caffe_log import parse_training_log
from tests.oracle import requires_caffe
from tests.training.caffe_runs import caffe_solves, our_log
from tests.training.solver_cases import ITERATIONS, SolverCase, draw

pytest.importorskip("torch", reason="training needs PyTorch (extra torch)")
CASES = [draw(number) for number in range(70)]
TOLERANCE = 1e-4
pytestmark = requires_caffe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("caffe")
    before = os.getcwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def logs(folder: Path) -> dict[str, str]:
    return caffe_solves(*(case.write() for case in CASES))


def assert_near(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    limit = TOLERANCE * max(float(np.abs(wanted).max(initial=0)), 1e-2)
    assert found.shape == wanted.shape, what
    worst = float(np.abs(found - wanted).max(initial=0))
    assert worst <= limit, f"{what}: differs by {worst:.3g}, allowed {limit:.3g}"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_losses_tests_weights_and_state_are_caffes(case: SolverCase, logs: dict[str, str], folder: Path) -> None:
    model, state = case.snapshot, case.snapshot.replace("caffemodel", "solverstate")
    theirs = (read_weights(model).by_name(), read_solverstate(state))
    wanted = parse_training_log(logs[f"{case.name}.prototxt"])
    log, _ = our_log(f"{case.name}.prototxt")
    found = parse_training_log(log)
    assert [{**v, "value": 0} for v in found.curve] == [{**v, "value": 0} for v in wanted.curve]
    for ours, caffes in zip(found.curve, wanted.curve, strict=True):
        near = pytest.approx(caffes["value"], rel=TOLERANCE, abs=2e-5)
        assert ours["value"] == near, f"{ours['phase']} {ours['output']} at {ours['iteration']}"
    for name, layer in read_weights(model).by_name().items():
        for i, (own, other) in enumerate(zip(layer.blobs, theirs[0][name].blobs, strict=True)):
            assert_near(own.data, other.data, f"layer {name}, blob {i}")
    ours_state = read_solverstate(state)
    assert (ours_state.iteration, ours_state.current_step) == (theirs[1].iteration, theirs[1].current_step)
    assert ours_state.learned_net == theirs[1].learned_net
    for i, (own_history, history) in enumerate(zip(ours_state.history, theirs[1].history, strict=True)):
        assert_near(own_history, history, f"history {i}")


def test_a_training_goes_on_in_the_other(logs: dict[str, str], folder: Path) -> None:
    for number in (0, 1, 2, 3, 4, 5, 20):
        case = CASES[number]
        text = case.solver.replace(f"max_iter: {ITERATIONS}", "max_iter: 130")
        for who in ("caffe", "ours"):
            Path(f"{case.name}_{who}.prototxt").write_text(text.replace(f'prefix: "{case.name}"', f'prefix: "{who}"'))
        state = case.snapshot.replace("caffemodel", "solverstate")  # written here by the test above, or by Caffe
        caffe_solves(f"{case.name}_caffe.prototxt={state}")
        our_log(f"{case.name}_ours.prototxt", resume=state)
        end = ".h5" if state.endswith(".h5") else ""
        theirs, ours = (read_solverstate(f"{who}_iter_130.solverstate{end}") for who in ("caffe", "ours"))
        assert theirs.iteration == ours.iteration == 130
        if case.source == "dummy":  # the others' data begin anew in Caffe
            for own, other in zip(ours.history, theirs.history, strict=True):
                assert_near(own, other, f"{case.name}, history")
