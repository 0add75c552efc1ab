"""The old Python interface of Caffe: ``import caffezoo.pycaffe as caffe``.

Scripts that say ``import caffe`` run unchanged with ``python -m caffezoo.pycaffe SCRIPT.py``, or after
``caffezoo.pycaffe.install()``. docs/pycaffe.md says what is the same and what is not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from caffezoo.version import __version__ as _own_version

if TYPE_CHECKING:
    from caffezoo.pycaffe import coord_map, draw, io, net_spec, proto
    from caffezoo.pycaffe.blob import Blob
    from caffezoo.pycaffe.classifier import Classifier
    from caffezoo.pycaffe.detector import Detector
    from caffezoo.pycaffe.net import Net
    from caffezoo.pycaffe.net_spec import NetSpec, layers, params, to_proto
    from caffezoo.pycaffe.python_layer import Layer
    from caffezoo.pycaffe.script import install
    from caffezoo.pycaffe.solver import (
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        RMSPropSolver,
        SGDSolver,
        get_solver,
    )
    from caffezoo.pycaffe.state import set_device, set_mode_cpu, set_mode_gpu, set_random_seed

TRAIN, TEST = 0, 1
__version__ = "1.0.0"
"""Of the interface, which scripts may ask for; the package's own is ``caffezoo.__version__``."""

_PLACES = {
    "Blob": "blob",
    "Classifier": "classifier",
    "Detector": "detector",
    "Layer": "python_layer",
    "Net": "net",
    "NetSpec": "net_spec",
    "layers": "net_spec",
    "params": "net_spec",
    "to_proto": "net_spec",
    "install": "script",
    **dict.fromkeys(
        (
            "SGDSolver",
            "NesterovSolver",
            "AdaGradSolver",
            "RMSPropSolver",
            "AdaDeltaSolver",
            "AdamSolver",
            "get_solver",
        ),
        "solver",
    ),
    **dict.fromkeys(("set_mode_cpu", "set_mode_gpu", "set_device", "set_random_seed"), "state"),
}
_MODULES = ("classifier", "coord_map", "detector", "draw", "io", "net_spec", "proto")


def layer_type_list() -> list[str]:
    """Return the types of layers that there are."""
    from caffezoo.net.registry import layer_types

    return sorted(layer_types())


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Accepted; nothing is logged here."""


def log(message: str) -> None:
    """Print a line on standard error, as Caffe's log does."""
    import sys

    sys.stderr.write(f"{message}\n")


def has_nccl() -> bool:
    """Whether several GPUs work together: never here."""
    return False


def solver_count() -> int:
    """Solvers that work together: one."""
    return 1


def solver_rank() -> int:
    """Number of this one."""
    return 0


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        found = getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    elif name in _MODULES:
        found = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(
            f"caffezoo.pycaffe (caffezoo {_own_version}) has no '{name}'; docs/pycaffe.md says what it has"
        )
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*(n for n in globals() if n[:1] != "_"), *_PLACES, *_MODULES})


__all__ = [
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "coord_map",
    "draw",
    "get_solver",
    "has_nccl",
    "init_log",
    "install",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "net_spec",
    "params",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
    "solver_count",
    "solver_rank",
    "to_proto",
]
