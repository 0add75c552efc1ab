"""The parent side of :mod:`.torch_worker`: find a Python that has torch, run one model in it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffezoo.errors import EngineError, EngineUnavailableError, SourceError

WORKER = Path(__file__).with_name("torch_worker.py")
TIMEOUT_S = 1800.0
HINT = "pip install torch torchvision timm here, or name a Python that has them with --torch-python"


@dataclass(frozen=True)
class SourceRun:
    """One run of a source model: float32 NCHW input and logits as .npy files, and what is aligned before it."""

    input: Path
    output: Path
    align: Sequence[str] = ()


@dataclass(frozen=True)
class SourceModel:
    """What the worker told: versions of its packages, names and shapes of the model's tensors."""

    versions: Mapping[str, str]
    tensors: tuple[tuple[str, tuple[int, ...]], ...]


def find_torch_python(python: str | None = None) -> str:
    """Return the Python that runs source models: the given one, or this one if it has torch.

    Raises
    ------
    EngineUnavailableError
        If there is none.
    """
    if python:
        found = shutil.which(os.path.expanduser(python))
        if found is None:
            raise EngineUnavailableError(f"no such Python '{python}'", where="--torch-python")
        return found
    if importlib.util.find_spec("torch") is not None:
        return sys.executable
    raise EngineUnavailableError("torch is not installed here", hint=HINT)


def run_source_model(
    model: str,
    runs: Sequence[SourceRun],
    *,
    classes: int,
    python: str | None = None,
    load: Path | None = None,
    save: Path | None = None,
    calibrate: Path | None = None,
    calibrate_px: int = 224,
) -> SourceModel:
    """Run a model of torchvision, timm or pretrainedmodels in its own process.

    Parameters
    ----------
    model : str
        ``package:function``.
    runs : sequence of SourceRun
        ``align`` adds to that of the runs before.
    classes : int
        Outputs of the model.
    python : str, optional
        See :func:`find_torch_python`.
    load : path, optional
        State dict; random weights if not given.
    save : path, optional
        Where to write the state dict.
    calibrate : path, optional
        .npy file of the images that give random weights' norms their statistics.
    calibrate_px : int
        Size of the random images that do it where there is no such file.

    Raises
    ------
    EngineUnavailableError
        That Python lacks a package.
    SourceError
        The file does not load there.
    EngineError
        It failed otherwise.
    """
    job: dict[str, Any] = {
        "model": model,
        "classes": classes,
        "load": str(load) if load else None,
        "save": str(save) if save else None,
        "calibrate": str(calibrate) if calibrate else None,
        "calibrate_px": calibrate_px,
        "runs": [{"input": str(r.input), "output": str(r.output), "align": list(r.align)} for r in runs],
    }
    answer = _ask(job, model, python)
    tensors = tuple((name, tuple(shape)) for name, shape in answer["tensors"])
    return SourceModel(answer["versions"], tensors)


def list_source_tensors(models: Sequence[str], python: str | None = None) -> dict[str, list[tuple[str, list[int]]]]:
    """Return names and shapes of the tensors of source models with 1000 classes.

    Raises
    ------
    EngineUnavailableError, EngineError
        As :func:`run_source_model`.
    """
    answer = _ask({"list": list(models)}, "list of models", python)
    return {model: [(name, shape) for name, shape in tensors] for model, tensors in answer["models"].items()}


def _ask(job: Mapping[str, Any], model: str, python: str | None) -> dict[str, Any]:
    """Start the worker for one job and return its answer."""
    command = [find_torch_python(python), "-I", str(WORKER)]
    try:
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise EngineError(f"no answer in {TIMEOUT_S:.0f} s", where=model) from None
    except OSError as error:
        raise EngineUnavailableError(f"does not start: {error.strerror or error}", where=command[0]) from None
    if done.returncode:
        raise _error(model, done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _error(model: str, log: str) -> EngineError | SourceError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "it says nothing"
    if last.startswith(("ModuleNotFoundError", "ImportError")):
        return EngineUnavailableError(last, where=model, hint=HINT)
    if "loading state_dict" in log:
        return SourceError(f"the model does not take these weights: {last}", where=model)
    return EngineError(last, where=model)
