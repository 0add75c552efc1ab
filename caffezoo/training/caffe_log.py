"""The log of ``caffe train``, or of any of Caffe's solvers: losses, test outputs and learning rates by iteration.

A training that failed or was stopped is kept as far as it went; a note says where it ended. Values that are not finite
are kept too: a training that diverged is a result.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from caffezoo.errors import DataError
from caffezoo.formats.glog import PREFIX, moment

TOTAL_LOSS = "total loss"
"""Name of the loss over all outputs, which Caffe averages over ``average_loss`` iterations."""

LEARNING_RATE = "learning rate"

_NUMBER = r"(?P<value>-?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|nan|inf))"
_PARAMETERS = "Initializing solver from parameters"
_ITERATION = re.compile(rf"^Iteration (?P<iteration>\d{{1,12}})(?: \([^)]*\))?, (?P<what>loss|lr) = {_NUMBER}\b")
_TESTING = re.compile(r"^Iteration (?P<iteration>\d{1,12}), Testing net \(#(?P<net>\d{1,3})\)")
_OUTPUT = re.compile(
    rf"^\s*(?P<which>Train|Test) net output #\d+: (?P<output>.+?) = {_NUMBER}(?P<loss> \(\* .* loss\))?$"
)
_PARAMETER = re.compile(r'^(?P<key>base_lr|max_iter|solver_mode|type): "?(?P<value>[^"]+)"?$')
_DEVICE = re.compile(r"^GPU \d+: (?P<name>.+)$")
_MAX_TEXT = 300
_MAX_LINE = 2000


@dataclass
class TrainingLog:
    """What a log of a training holds.

    Attributes
    ----------
    curve : list of dict
        ``iteration``, ``phase``, ``kind``, ``output`` and ``value`` of every value, in the order of the log.
    iterations : int
        The last iteration that is named.
    final_loss : float or None
        The last total loss.
    parameters : dict of str to str
        ``base_lr``, ``max_iter``, ``solver_mode`` and ``type`` of the solver, as far as they are printed.
    device : str
    done : bool
        Caffe says that it has finished.
    fatal, last_line : str
        Why Caffe stopped by itself, and what it said last.
    """

    curve: list[dict[str, Any]] = field(default_factory=list)
    iterations: int = 0
    final_loss: float | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    device: str = "unknown"
    done: bool = False
    fatal: str = ""
    last_line: str = ""


def is_training_log(text: str) -> bool:
    """Tell whether a text is what one of Caffe's solvers logged."""
    said = (match["text"] for line in text.splitlines() if (match := PREFIX.match(line[:_MAX_LINE])))
    return any(text.startswith(_PARAMETERS) or _ITERATION.match(text) for text in said)


def parse_training_log(text: str) -> TrainingLog:
    """Read a log.

    Raises
    ------
    DataError
        It holds no value.
    """
    log = TrainingLog()
    in_parameters = False
    phase, tested = "train", 0
    for line in text.splitlines():
        found = PREFIX.match(line[:_MAX_LINE])
        if found is None:
            if in_parameters and (parameter := _PARAMETER.match(line)):
                log.parameters.setdefault(parameter["key"], parameter["value"])
            continue
        said = found["text"]
        in_parameters = said.startswith(_PARAMETERS)
        log.last_line = said.strip()[:_MAX_TEXT] or log.last_line
        if found["level"] == "F":
            log.fatal = log.fatal or said.strip()[:_MAX_TEXT]
        elif testing := _TESTING.match(said):
            number, tested = int(testing["net"]), int(testing["iteration"])
            phase = f"test #{number}" if number else "test"
            log.iterations = tested
        elif iteration := _ITERATION.match(said):
            log.iterations = int(iteration["iteration"])
            loss = iteration["what"] == "loss"
            value = float(iteration["value"])
            if loss:
                log.final_loss = value
            name, kind = (TOTAL_LOSS, "loss") if loss else (LEARNING_RATE, "learning_rate")
            log.curve.append(_value(log.iterations, "train", kind, name, value))
        elif output := _OUTPUT.match(said):
            train = output["which"] == "Train"
            at, where = (log.iterations, "train") if train else (tested, phase)
            kind = "loss" if output["loss"] else "metric"
            log.curve.append(_value(at, where, kind, output["output"], float(output["value"])))
        elif said.startswith("Optimization Done"):
            log.done = True
        elif said.startswith("Use CPU"):
            log.device = "CPU"
        elif device := _DEVICE.match(said):
            log.device = f"GPU ({device['name'].strip()})"
    if log.device == "unknown" and log.parameters.get("solver_mode") == "CPU":
        log.device = "CPU"
    if not log.curve:
        last = f"; its last line: {log.last_line}" if log.last_line else ""
        raise DataError(f"the log of a training holds no losses{last}", where="caffe train")
    return log


def training_record(text: str, network: str, written: datetime, note: str | None = None) -> dict[str, Any]:
    """Return the record of a training that the results store takes.

    Parameters
    ----------
    text : str
        The log.
    network : str
    written : datetime
        When the log was written.
    note : str, optional
        What to remember of it.

    Raises
    ------
    DataError
        The log holds no value.
    """
    log = parse_training_log(text)
    last = next(match for line in reversed(text.splitlines()) if (match := PREFIX.match(line[:_MAX_LINE])))
    planned = log.parameters.get("max_iter", "")
    notes = [note] if note else []
    if log.fatal:
        notes.append(f"Caffe stopped at iteration {log.iterations}: {log.fatal}")
    elif not log.done:
        notes.append(f"the log stops at iteration {log.iterations}")
    try:
        rate = float(log.parameters.get("base_lr", "")) or None
    except ValueError:
        rate = None
    return {
        "network": network,
        "date": moment(last, text, written).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "iterations": log.iterations,
        "final_loss": log.final_loss,
        "max_iterations": (int(planned) or None) if re.fullmatch(r"\d{1,12}", planned) else None,
        "solver": log.parameters.get("type", "SGD"),
        "learning_rate": rate,
        "engine": "caffe",
        "device": log.device,
        "precision": "float32",
        "sha256": {"log": hashlib.sha256(text.encode()).hexdigest()},
        "versions": {},
        "curve": log.curve,
        "note": "; ".join(notes) or None,
    }


def _value(iteration: int, phase: str, kind: str, output: str, value: float) -> dict[str, Any]:
    return {"iteration": iteration, "phase": phase, "kind": kind, "output": output, "value": value}
