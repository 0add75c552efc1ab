"""Learning rates by iteration: Caffe's ``SGDSolver::GetLearningRate``."""

from __future__ import annotations

import math

import numpy as np

from caffezoo.formats.solver_pb2 import SolverParameter


def learning_rate(solver: SolverParameter, iteration: int) -> float:
    """Return the rate of an iteration, before any blob's ``lr_mult``.

    With ``b`` base_lr, ``g`` gamma, ``p`` power and ``i`` the iteration:
    fixed ``b``; step ``b g^floor(i / stepsize)``; exp ``b g^i``; inv ``b (1 + g i)^-p``; multistep ``b g^k`` after
    ``k`` stepvalues; poly ``b (1 - i / max_iter)^p``; sigmoid ``b / (1 + exp(-g (i - stepsize)))``.

    Parameters
    ----------
    solver : SolverParameter
        Checked by :func:`caffezoo.formats.solver.checked_solver`.
    iteration : int
        From 0.
    """
    base, gamma, power = solver.base_lr, solver.gamma, solver.power
    if solver.lr_policy in ("step", "multistep"):
        rate = base * _power(gamma, current_step(solver, iteration))
    elif solver.lr_policy == "exp":
        rate = base * _power(gamma, iteration)
    elif solver.lr_policy == "inv":
        rate = base * _power(1 + gamma * iteration, -power)
    elif solver.lr_policy == "poly":
        rate = base * _power(1 - iteration / solver.max_iter, power)
    elif solver.lr_policy == "sigmoid":
        exponent = -gamma * (iteration - solver.stepsize)
        rate = base / (1 + math.exp(exponent)) if exponent < 700 else 0.0
    else:
        rate = base
    return float(np.float32(rate))


def current_step(solver: SolverParameter, iteration: int) -> int:
    """Return how many steps the rate has come down; 0 for policies without steps. A solverstate holds it."""
    if solver.lr_policy == "step":
        return iteration // solver.stepsize
    if solver.lr_policy == "multistep":
        step = 0
        while step < len(solver.stepvalue) and iteration >= solver.stepvalue[step]:
            step += 1
        return step
    return 0


def _power(base: float, exponent: float) -> float:
    """``base ** exponent`` as C computes it: infinite or not a number where Python raises."""
    with np.errstate(all="ignore"):
        return float(np.power(np.float64(base), np.float64(exponent)))
