"""The six solvers by name.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from caffezoo.formats.solver import SolverFile, checked_solver, read_solver
from caffezoo.formats.solver_pb2 import SolverParameter
from caffezoo.training.solver import Solver


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    type = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient."""

    type = "Nesterov"


class AdaGradSolver(Solver):
    """Duchi, Hazan and Singer's adaptive gradients."""

    type = "AdaGrad"


class RMSPropSolver(Solver):
    """Tieleman and Hinton's RMSProp."""

    type = "RMSProp"


class AdaDeltaSolver(Solver):
    """Zeiler's AdaDelta."""

    type = "AdaDelta"


class AdamSolver(Solver):
    """Kingma and Ba's Adam."""

    type = "Adam"


SOLVERS: Mapping[str, type[Solver]] = {
    cls.type: cls for cls in (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
}


def make_solver(solver: str | PathLike[str] | SolverFile | SolverParameter, **options: Any) -> Solver:
    """Return the solver of the class that a file's ``type`` names; options as :class:`Solver` takes them.

    Raises
    ------
    PrototxtError, NetworkError, DataError, TrainingError
    """
    if isinstance(solver, SolverParameter):
        solver = checked_solver(solver)
    file = solver if isinstance(solver, SolverFile) else read_solver(solver)
    return SOLVERS[file.param.type](file, **options)
