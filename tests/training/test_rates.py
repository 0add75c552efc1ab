"""Learning rates and solver files, by the formulas of Caffe's documentation."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import PrototxtError
from caffezoo.formats.solver import parse_solver
from caffezoo.training.rates import current_step, learning_rate

NET = 'net: "n.prototxt" base_lr: 0.5 max_iter: 1000 lr_policy: "%s" '


@pytest.mark.parametrize(
    ("policy", "fields", "wanted"),
    [
        ("fixed", "", lambda i: 0.5),
        ("step", "gamma: 0.1 stepsize: 7", lambda i: 0.5 * 0.1 ** (i // 7)),
        ("exp", "gamma: 0.984375", lambda i: 0.5 * 0.984375**i),
        ("inv", "gamma: 0.01 power: 0.75", lambda i: 0.5 * (1 + 0.01 * i) ** -0.75),
        ("multistep", "gamma: 0.1 stepvalue: 5 stepvalue: 9", lambda i: 0.5 * 0.1 ** ((i >= 5) + (i >= 9))),
        ("poly", "power: 2", lambda i: 0.5 * (1 - i / 1000) ** 2),
        ("sigmoid", "gamma: 0.02 stepsize: 500", lambda i: 0.5 / (1 + math.exp(-0.02 * (i - 500)))),
    ],
)
def test_policies(policy, fields, wanted):
    solver = parse_solver(NET % policy + fields).param
    for iteration in (0, 1, 4, 5, 6, 7, 8, 9, 13, 14, 500, 999):
        assert learning_rate(solver, iteration) == pytest.approx(wanted(iteration), rel=1e-6)


@given(st.lists(st.integers(0, 60), max_size=5), st.integers(0, 80))
def test_multistep_counts_each_step_once_it_is_reached(values, iteration):
    steps = " ".join(f"stepvalue: {v}" for v in sorted(values))
    solver = parse_solver(NET % "multistep" + "gamma: 0.5 " + steps).param
    assert current_step(solver, iteration) == sum(v <= iteration for v in values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NET % "fixed" + "warmup: 5", r"s\.prototxt:1: unknown solver field 'warmup'"),
        (NET % "fixed" + "momentun: 0.9", "did you mean momentum"),
        (NET % "cosine", "unknown learning rate policy 'cosine'"),
        ('net: "n"', "no lr_policy"),
        (NET % "step", "positive stepsize"),
        (NET % "exp" + "gamma: -1", "gamma of 0 or more"),
        (NET % "fixed" + 'type: "LARS"', "unknown solver type 'LARS'"),
        (NET % "fixed" + 'type: "AdaGrad" momentum: 0.9', "momentum cannot be used with AdaGrad"),
        (NET % "fixed" + 'type: "RMSProp" rms_decay: 1', "rms_decay"),
        (NET % "fixed" + 'regularization_type: "L3"', "regularization_type 'L3'"),
        (NET % "fixed" + "snapshot_diff: true", "snapshot_diff is not supported"),
        (NET % "fixed" + 'train_net: "b"', "one of net, net_param"),
        (NET % "fixed" + "test_iter: 5", "positive test_interval"),
        (NET % "fixed" + 'test_net: "a" test_net: "b" test_iter: 5', "2 test net"),
        (NET % "fixed" + "iter_size: 0", "iter_size must be positive"),
        (NET % "fixed" + 'solver_type: ADAM type: "Adam"', "both given"),
        (NET % "fixed" + "base_lr: 1", "given twice"),
    ],
)
def test_what_no_solver_can_honour_is_refused_by_name(text, message):
    with pytest.raises(PrototxtError, match=message):
        parse_solver(text, "s.prototxt")


def test_the_older_enum_names_the_type_and_snapshots_get_a_name(tmp_path):
    assert parse_solver(NET % "fixed" + "solver_type: NESTEROV").param.type == "Nesterov"
    assert parse_solver(NET % "fixed", "a/lenet.prototxt").param.snapshot_prefix == "a/lenet"
    inside = parse_solver(NET % "fixed" + f'snapshot_prefix: "{tmp_path}"', "a/lenet.prototxt").param.snapshot_prefix
    assert inside == str(tmp_path / "lenet")
