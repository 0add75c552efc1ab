"""Which nets a solver trains and tests, and in which state: Caffe's ``InitTrainNet`` and ``InitTestNets``."""

from __future__ import annotations

import os
from dataclasses import dataclass

from caffezoo.errors import PrototxtError, WeightsFileError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import Prototxt, read_prototxt
from caffezoo.formats.solver import SolverFile
from caffezoo.formats.upgrade import upgrade_net

StatedNet = tuple[Prototxt, pb.NetState]


@dataclass(frozen=True)
class SolverNets:
    """The nets of a solver, each with the state that chooses its layers."""

    train: StatedNet
    tests: tuple[StatedNet, ...]


def nets_of(solver: SolverFile) -> SolverNets:
    """Read the nets of a checked solver; paths are from the current folder, as in Caffe.

    Raises
    ------
    PrototxtError
        A net cannot be read.
    """
    param = solver.param
    generic = None
    if param.HasField("net_param"):
        generic = inline_net(param.net_param, f"{solver.path} (net_param)")
    elif param.HasField("net"):
        generic = _read(param.net, "net", solver)
    if param.HasField("train_net_param"):
        train = inline_net(param.train_net_param, f"{solver.path} (train_net_param)")
    elif param.HasField("train_net"):
        train = _read(param.train_net, "train_net", solver)
    else:
        assert generic is not None  # checked with the solver
        train = generic
    tests = [inline_net(net, f"{solver.path} (test_net_param)") for net in param.test_net_param]
    tests += [_read(path, "test_net", solver) for path in param.test_net]
    while generic is not None and len(tests) < len(param.test_iter):
        tests.append(generic)
    states = list(param.test_state) or [pb.NetState()] * len(tests)
    return SolverNets(
        (train, _state(pb.TRAIN, train, param.train_state)),
        tuple((net, _state(pb.TEST, net, state)) for net, state in zip(tests, states, strict=True)),
    )


def _read(path: str, field: str, solver: SolverFile) -> Prototxt:
    if not os.path.exists(path):
        beside = os.path.join(os.path.dirname(solver.path), path)
        hint = None
        if os.path.exists(beside):
            hint = f"paths are from the current folder, as in Caffe, and there is '{beside}'"
        raise PrototxtError(f"{field} '{path}' does not exist", where=solver.path, hint=hint)
    return read_prototxt(path)


def inline_net(net: pb.NetParameter, path: str) -> Prototxt:
    """Return a net that no file holds, upgraded; ``path`` stands in messages."""
    upgraded = upgrade_net(net, path)
    return Prototxt(upgraded.net, path, upgraded.lines, upgraded.warnings)


def _state(phase: int, net: Prototxt, given: pb.NetState) -> pb.NetState:
    state = pb.NetState(phase=pb.Phase.Name(phase))
    state.MergeFrom(net.net.state)
    state.MergeFrom(given)
    if not given.HasField("phase"):
        state.phase = net.net.state.phase if net.net.state.HasField("phase") else phase  # type: ignore[assignment]
    return state


def find_learned(state: str, learned_net: str) -> str:
    """Return the path of the weights that a state names: as it stands, or beside the state.

    Raises
    ------
    WeightsFileError
    """
    beside = os.path.join(os.path.dirname(state), os.path.basename(learned_net))
    for path in (learned_net, beside):
        if os.path.exists(path):
            return path
    raise WeightsFileError(f"its weights '{learned_net}' are neither there nor beside it", where=state)
