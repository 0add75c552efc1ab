"""Solver files: ``solver.prototxt`` read as ``caffe train`` reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from caffezoo.errors import PrototxtError
from caffezoo.formats import solver_pb2 as pb
from caffezoo.formats.prototxt import read_text
from caffezoo.formats.textformat import TextParser

TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
POLICIES = ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid")
REGULARISATIONS = ("L1", "L2")


@dataclass(frozen=True)
class SolverFile:
    """A solver's parameters, upgraded and checked.

    Attributes
    ----------
    param : SolverParameter
        ``type`` is set even where the file has the older ``solver_type``; ``snapshot_prefix`` always.
    path : str
        File that it was read from, or a name for text that has none.
    """

    param: pb.SolverParameter
    path: str


def read_solver(path: str | PathLike[str]) -> SolverFile:
    """Read and check a solver file.

    Raises
    ------
    PrototxtError
        It cannot be opened, breaks the syntax, holds a field that no solver has or that this one cannot honour, or a
        value that Caffe refuses.
    """
    name = fspath(path)
    return parse_solver(read_text(name), name)


def parse_solver(text: str, path: str = "solver.prototxt") -> SolverFile:
    """Parse the text of a solver file; ``path`` stands in errors and names snapshots that have no prefix.

    Raises
    ------
    PrototxtError
    """
    param = pb.SolverParameter()
    parser = TextParser(text, path)
    parser.parse_into(param)
    for field in parser.unknown:
        if field.top is not None and field.top[0].endswith("net_param"):
            continue  # a net's unknown fields are warned of where the net is read
        message = f"unknown solver field '{field.name}'"
        raise PrototxtError(message, where=f"{path}:{field.line}", hint=_near(field.name))
    return checked_solver(param, path)


def checked_solver(param: pb.SolverParameter, path: str = "solver.prototxt") -> SolverFile:
    """Return a copy of a solver's parameters, upgraded, after Caffe's checks.

    Raises
    ------
    PrototxtError
        What is wrong, by the field's name.
    """
    solver = pb.SolverParameter()
    solver.CopyFrom(param)
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise PrototxtError("'solver_type' and 'type' are both given", where=path, hint="keep type")
        solver.type = TYPES[solver.solver_type]
        solver.ClearField("solver_type")
    _update_prefix(solver, path)
    for fault in _faults(solver):
        raise PrototxtError(fault, where=path)
    return SolverFile(solver, path)


def _update_prefix(solver: pb.SolverParameter, path: str) -> None:
    """Caffe's ``UpgradeSnapshotPrefixProperty``: the solver's own name, alone or in the folder that is given."""
    if not solver.snapshot_prefix:
        solver.snapshot_prefix = str(Path(path).with_suffix(""))
    elif os.path.isdir(solver.snapshot_prefix):
        solver.snapshot_prefix = os.path.join(solver.snapshot_prefix, Path(path).stem)


def _faults(solver: pb.SolverParameter) -> list[str]:
    """Return what Caffe would refuse, and what this solver cannot honour."""
    found = []

    def check(good: bool, message: str) -> None:
        if not good:
            found.append(message)

    check(solver.type in TYPES, f"unknown solver type '{solver.type}': one of {', '.join(TYPES)}")
    check(solver.HasField("lr_policy"), "no lr_policy is given")
    policy = solver.lr_policy
    check(policy in POLICIES or not policy, f"unknown learning rate policy '{policy}': one of {', '.join(POLICIES)}")
    if policy in ("step", "sigmoid"):
        check(solver.stepsize > 0, f"lr_policy '{policy}' needs a positive stepsize")
    if policy in ("step", "exp", "inv", "multistep", "sigmoid"):
        check(solver.gamma >= 0, f"lr_policy '{policy}' needs a gamma of 0 or more")
    check(policy != "poly" or solver.max_iter > 0, "lr_policy 'poly' needs a positive max_iter")
    kinds = " or ".join(REGULARISATIONS)
    known = solver.regularization_type in REGULARISATIONS
    check(known, f"unknown regularization_type '{solver.regularization_type}': {kinds}")
    for name in ("iter_size", "average_loss"):
        check(getattr(solver, name) > 0, f"{name} must be positive")
    for name in ("max_iter", "display", "snapshot", "test_interval"):
        check(getattr(solver, name) >= 0, f"{name} must not be negative")
    no_momentum = solver.type in ("AdaGrad", "RMSProp")
    check(not (no_momentum and solver.momentum), f"momentum cannot be used with {solver.type}")
    check(0 <= solver.rms_decay < 1, "rms_decay must lie within [0, 1)")
    check(not solver.snapshot_diff, "snapshot_diff is not supported: snapshots hold no gradients")
    trains = [solver.HasField(n) for n in ("net", "net_param", "train_net", "train_net_param")]
    check(sum(trains) == 1, "takes one of net, net_param, train_net and train_net_param")
    tests = len(solver.test_net) + len(solver.test_net_param)
    generic = solver.HasField("net") or solver.HasField("net_param")
    given = len(solver.test_iter)
    check(
        given >= tests if generic else given == tests,
        f"takes one test_iter a test net: {tests} test net(s), {given} test_iter",
    )
    check(not given or solver.test_interval > 0, "has test_iter, and needs a positive test_interval")
    check(all(n > 0 for n in solver.test_iter), "test_iter must be positive")
    states = len(solver.test_state)
    check(not states or states == given, f"takes one test_state a test net: {given} test net(s), {states} test_state")
    return found


def _near(name: str) -> str | None:
    from difflib import get_close_matches

    close = get_close_matches(name, [f.name for f in pb.SolverParameter.DESCRIPTOR.fields], n=1)
    return f"did you mean {close[0]}?" if close else None
