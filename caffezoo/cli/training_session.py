"""A training at the command line: its lines on standard error, its bar, and what Ctrl-C does to it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from caffezoo.cli.console import say, shown
from caffezoo.cli.progress import progress
from caffezoo.errors import UsageError
from caffezoo.formats.glog import logged

if TYPE_CHECKING:
    from caffezoo.training.solver import Action, Solver

Effect = Literal["stop", "snapshot", "none"]
EFFECTS: tuple[Effect, ...] = ("stop", "snapshot", "none")
SHOWN_SKIPPED = 20


class GlogLines:
    """Writes lines as ``caffe`` does, on standard error (not where ``quiet``) and, where asked, into a file."""

    def __init__(self, place: str, file: Path | None = None, *, quiet: bool = False) -> None:
        self._place, self._quiet = place, quiet
        self._file: TextIO | None = None
        if file is not None:
            try:
                self._file = file.open("w")
            except OSError as error:
                raise UsageError(f"the log cannot be written: {error.strerror}", where=str(file)) from None

    def __call__(self, text: str) -> None:
        line = logged(text, datetime.now().astimezone(), os.getpid(), self._place)
        for stream in (None if self._quiet else sys.stderr, self._file):
            if stream is not None:
                print(shown(line), file=stream, flush=True)


def require_torch() -> None:
    """Raise a UsageError where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UsageError("training needs PyTorch", hint="pip install 'caffezoo[torch]'") from None


def device_of(gpu: str | None, wants_gpu: bool = False, device_id: int = 0) -> str:
    """Return torch's name of a device.

    Parameters
    ----------
    gpu : str or None
        A CUDA device's number.
    wants_gpu : bool
        The solver says ``solver_mode: GPU``: a device is taken where there is one.
    device_id : int

    Raises
    ------
    UsageError
        No such device.
    """
    import torch

    count = torch.cuda.device_count()
    if gpu is None:
        return f"cuda:{device_id}" if wants_gpu and device_id < count else "cpu"
    if not gpu.isdigit():
        raise UsageError(f"--gpu takes the number of one CUDA device, not '{gpu}'")
    if int(gpu) >= count:
        raise UsageError(f"there is no CUDA device {gpu}: {count} device(s)")
    return f"cuda:{gpu}"


@contextmanager
def signals(sigint: Effect, sighup: Effect) -> Iterator[Callable[[], Action]]:
    """Let Ctrl-C and SIGHUP ask for a snapshot or a stop; a second Ctrl-C interrupts at once.

    Yields
    ------
    callable
        Returns what was asked for since the last call.
    """
    asked: list[Action] = []
    wants: dict[int, Effect] = {signal.SIGINT: sigint}
    if hasattr(signal, "SIGHUP"):
        wants[signal.SIGHUP] = sighup
    before = {number: signal.getsignal(number) for number in wants}

    def note(number: int, frame: object) -> None:
        if number == signal.SIGINT and "stop" in asked:
            raise KeyboardInterrupt
        asked.append(wants[number])

    for number in wants:
        signal.signal(number, note)
    try:
        yield lambda: asked.pop(0) if asked else "none"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_solver(solver: Solver, resume: str | None, sigint: Effect = "stop", sighup: Effect = "snapshot") -> None:
    """Solve behind a bar; say which images were left out.

    Raises
    ------
    TrainingError, WeightsFileError
    """
    total = solver.param.max_iter
    with signals(sigint, sighup) as asked, progress(total, unit="iterations") as show:
        solver.action = asked
        solver.on_iteration = lambda iteration, loss: show(iteration + 1, f"loss {loss:.5g}")
        try:
            solver.solve(resume)
        finally:
            solver.close()
    skipped = solver.net.options.skipped
    for line in skipped[:SHOWN_SKIPPED]:
        say("warning", f"left out: {line}")
    if len(skipped) > SHOWN_SKIPPED:
        say("warning", f"{len(skipped) - SHOWN_SKIPPED} more images were left out")


def check_effect(name: str, value: str) -> Effect:
    """Return a signal's effect."""
    for effect in EFFECTS:
        if value == effect:
            return effect
    raise UsageError(f"{name} takes stop, snapshot or none, not '{value}'")
