"""The log of ``caffe time``, line by line: what it measured, or why it failed in one line.

The times that Caffe prints are means over
the iterations; those of one iteration are whole milliseconds on the CPU.
"""

from __future__ import annotations

import math
import re
import signal
from dataclasses import dataclass
from statistics import median

from caffezoo.errors import CaffeAbortError, EngineError
from caffezoo.formats.glog import PREFIX

_PARSER_ERROR = re.compile(r"^\[libprotobuf ERROR [^\]]*\] (?:Error parsing text-format caffe\.\w+: )?(?P<text>.+)$")
_LAYER_TIME = re.compile(r"^\s*(?P<layer>.*\S)\s*\t(?P<which>forward|backward): (?P<ms>\S+) ms\.$")
_AVERAGE = re.compile(r"^Average (?P<which>Forward pass|Backward pass|Forward-Backward): (?P<ms>\S+) ms\.$")
_ITERATION = re.compile(r"^Iteration: (?P<number>\d+) forward-backward time: (?P<ms>\S+) ms\.$")
_PLANNED = re.compile(r"^Testing for (?P<count>\d+) iterations\.$")
_LAYER_SETUP = re.compile(r"^Creating [Ll]ayer (?P<layer>.+)$")
_FIELD = re.compile(r'^(?P<place>\d+:\d+): Message type "caffe\.(?P<type>\w+)" has no field named "(?P<field>[^"]*)"')
_NAME = re.compile(r'^  (?P<key>name|type): "(?P<value>[^"]*)"$')
_PHASE = re.compile(r"^  phase: (?P<phase>TRAIN|TEST)$")
MAX_LINE = 300


@dataclass(frozen=True)
class LoggedLayer:
    """One layer's mean times in ms; ``type`` is empty for layers that Caffe itself put in."""

    name: str
    type: str
    forward_ms: float
    backward_ms: float | None


@dataclass(frozen=True)
class CaffeTimes:
    """What ``caffe time`` measured.

    Attributes
    ----------
    forward_ms, backward_ms, forward_backward_ms : float
        Means over all iterations, the first among them.
    iterations_ms : tuple of float
        Forward and backward of every iteration; whole ms on the CPU.
    layers : tuple of LoggedLayer
    phase : {"TRAIN", "TEST"}
    gpu : int or None
    """

    forward_ms: float
    backward_ms: float
    forward_backward_ms: float
    iterations_ms: tuple[float, ...]
    layers: tuple[LoggedLayer, ...]
    phase: str
    gpu: int | None

    @property
    def steady_ms(self) -> float:
        """Median of forward and backward over the iterations after the first, which allocates."""
        return float(median(self.iterations_ms[1:] or self.iterations_ms))


class CaffeTimeLog:
    """Reads the log while it is written.

    Attributes
    ----------
    planned, done : int
        Iterations.
    last_line : str
        Without glog's prefix.
    """

    def __init__(self) -> None:
        self.planned = 0
        self.done = 0
        self.last_line = ""
        self._fatal = ""
        self._parser_error = ""
        self._setting_up = ""
        self._phase = ""
        self._gpu: int | None = None
        self._iterations: list[float] = []
        self._forward: list[tuple[str, float]] = []
        self._backward: dict[int, float] = {}
        self._averages: dict[str, float] = {}
        self._types: dict[str, str] = {}
        self._name = ""
        self._ended = False

    def feed(self, line: str) -> None:
        """Take one line."""
        line = line.rstrip("\r\n")
        found = PREFIX.match(line)
        text = (found["text"] if found else line).strip()
        if text and not self._fatal:
            self.last_line = text[:MAX_LINE]
        if not found:
            self._bare(line)
        elif found["level"] == "F":
            self._fatal = self._fatal or found["text"].strip()
        else:
            self._message(found["text"])

    def times(self, returncode: int = 0) -> CaffeTimes:
        """Return what was measured, once the program has ended.

        Raises
        ------
        CaffeAbortError
            Caffe stopped by itself, or died of a signal.
        EngineError
            The log is cut short, or of something else.
        """
        if self._fatal or self._parser_error:
            raise CaffeAbortError(self._reason(), where="caffe time")
        if returncode:
            # A shell reports a signal as 128 + its number, Python as its negative.
            number = -returncode if returncode < 0 else returncode - 128
            known = {int(s) for s in signal.Signals}
            died = f"died of {signal.Signals(number).name}" if number in known else f"ended with status {returncode}"
            raise CaffeAbortError(f"Caffe {died}{self._after()}", where="caffe time")
        missing = {"Forward pass", "Backward pass", "Forward-Backward"} - set(self._averages)
        if missing or not self._ended or not self._iterations:
            state = f"stops at iteration {self.done} of {self.planned}" if self.planned else "holds no times"
            raise EngineError(f"the log {state}{self._after()}", where="caffe time")
        layers = tuple(
            LoggedLayer(name, self._types.get(name, ""), ms, self._backward.get(i))
            for i, (name, ms) in enumerate(self._forward)
        )
        forward, backward, both = (self._averages[k] for k in ("Forward pass", "Backward pass", "Forward-Backward"))
        return CaffeTimes(forward, backward, both, tuple(self._iterations), layers, self._phase or "TRAIN", self._gpu)

    def _bare(self, line: str) -> None:
        """Take a line without prefix: the net as Caffe prints it, or protobuf's complaint."""
        if error := _PARSER_ERROR.match(line):
            self._parser_error = self._parser_error or error["text"].strip()
        elif phase := _PHASE.match(line):
            self._phase = self._phase or phase["phase"]  # the net's state stands before the layers
        elif found := _NAME.match(line):
            if found["key"] == "name":
                self._name = found["value"]
            else:
                self._types[self._name] = found["value"]

    def _message(self, text: str) -> None:
        if setup := _LAYER_SETUP.match(text):
            self._setting_up = setup["layer"]
        elif text.startswith("Network initialization done"):
            self._setting_up = ""
        elif text.startswith("Use GPU with device ID "):
            self._gpu = int(re.sub(r"\D", "", text) or 0)
        elif planned := _PLANNED.match(text):
            self.planned = int(planned["count"])
        elif iteration := _ITERATION.match(text):
            self.done = int(iteration["number"])
            self._iterations.append(_milliseconds(iteration["ms"], text))
        elif layer := _LAYER_TIME.match(text):
            ms = _milliseconds(layer["ms"], text)
            if layer["which"] == "forward":
                self._forward.append((layer["layer"], ms))
            elif self._forward and self._forward[-1][0] == layer["layer"]:
                self._backward[len(self._forward) - 1] = ms
        elif average := _AVERAGE.match(text):
            self._averages[average["which"]] = _milliseconds(average["ms"], text)
        elif text.startswith("*** Benchmark ends ***"):
            self._ended = True

    def _reason(self) -> str:
        """Return one line for a failure, in a user's words where it is a known one."""
        fatal = re.sub(r"^Check failed: ", "", self._fatal)
        if self._parser_error:
            file = re.search(r"Failed to parse \w+ file: (.+)$", fatal)
            place = f"{file[1]}:" if file else ""
            if field := _FIELD.match(self._parser_error):
                return f"{place}{field['place']}: this Caffe's {field['type']} has no field '{field['field']}'"
            return f"{place}{self._parser_error}"
        if missing := re.search(r"File not found: (.+)$", fatal):
            return f"no such file: {missing[1]}"
        if "Cannot use GPU in CPU-only Caffe" in fatal:
            return "this Caffe is built for the CPU only; leave --gpu out"
        where = f"layer '{self._setting_up}': " if self._setting_up else ""
        if unknown := re.search(r"Unknown layer type: (\S+)", fatal):
            return f"{where}this Caffe has no layer type {unknown[1]}"
        return f"{where}{fatal[:MAX_LINE]}"

    def _after(self) -> str:
        return f"; its last line: {self.last_line}" if self.last_line else "; it is empty"


def parse_log(text: str, returncode: int = 0) -> CaffeTimes:
    """Return what a whole log of ``caffe time`` holds.

    Raises
    ------
    CaffeAbortError, EngineError
        See :meth:`CaffeTimeLog.times`.
    """
    log = CaffeTimeLog()
    for line in text.splitlines():
        log.feed(line)
    return log.times(returncode)


def _milliseconds(text: str, line: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise EngineError(f"the log holds a time that is none: {line.strip()[:MAX_LINE]}", where="caffe time")
    return value
