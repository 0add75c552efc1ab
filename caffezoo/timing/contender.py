"""Engines that are compared: each in a process of its own, which sleeps while another runs.

Two runtimes in one process share its allocator, its thread pools and what they leave in the caches, and a runtime's
threads spin for a while after its call, on the cores of the next. So every contender is a process; between its blocks
it is stopped (SIGSTOP where there is such a thing, else it waits on its pipe). Blocks are taken in turns, so that a
slow minute of the machine hits all alike, and the first calls of a block, which find the caches full of what others
left, do not count towards the steady time. The very first of them is what a call after a pause costs: the cold one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

from caffezoo.errors import EngineError, ZooError
from caffezoo.timing.clock import Spread
from caffezoo.timing.contender_worker import receive, send

if TYPE_CHECKING:
    from caffezoo.net.graph import Network
    from caffezoo.timing.networks import Job
    from caffezoo.timing.subjects import Settings, Subject

_CAN_STOP = hasattr(signal, "SIGSTOP")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from caffezoo.timing.contender_worker import main; main()"
)
"""Not by PYTHONPATH: real Caffe's Python, which may be another version, would inherit it."""
DROPPED = 2
"""First calls of a block that do not count towards the steady time."""
LEAST = 3
"""Calls of a block that count, at least."""


@dataclass(frozen=True)
class Turns:
    """What a contender took.

    Attributes
    ----------
    steady : Spread
        Over the calls of all blocks but the first ones of each.
    cold : Spread
        Of the first call of each block.
    block_ms : tuple of float
        Median of each block's steady calls.
    blocks : tuple of tuple of float
        Seconds of every call.
    """

    steady: Spread
    cold: Spread
    block_ms: tuple[float, ...]
    blocks: tuple[tuple[float, ...], ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, blocks: Sequence[Sequence[float]], dropped: int = DROPPED) -> Turns:
        """Summarise the seconds of blocks, whose first ``dropped`` calls do not count towards the steady time."""
        return cls(
            Spread.of([s for block in blocks for s in block[dropped:]]),
            Spread.of([block[0] for block in blocks]),
            tuple(1e3 * median(block[dropped:]) for block in blocks),
            tuple(map(tuple, blocks)),
        )

    @classmethod
    def joined(cls, parts: Sequence[Turns], dropped: int = DROPPED) -> Turns:
        """Return several turns of one contender as one."""
        return cls.of([block for part in parts for block in part.blocks], dropped)


class Opener(Protocol):
    """What makes a subject by itself, in the process of its contender; picklable."""

    def open_subject(self, settings: Settings) -> Subject: ...


class Contender:
    """One network in one engine in a process of its own, asleep between its blocks.

    Parameters
    ----------
    source : Job or Network or Opener
        A job is loaded by the process, with weights by formula; a network with weights is sent to it; what opens
        itself does so there.
    settings : Settings
    timeout_s : float
        Seconds that loading, and each block, may take.

    Attributes
    ----------
    settings : Settings
    version, device, precision : str
    threads : int
    memory_peak_bytes : int or None
    load_seconds : float
        Of making the weights, loading, and the first call.

    Raises
    ------
    ZooError
        What loading raised there.
    EngineError
        The process died, or did not answer in time.
    """

    def __init__(self, source: Job | Network | Opener, settings: Settings, *, timeout_s: float = 600.0) -> None:
        self.settings = settings
        self._timeout_s = timeout_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # A group of its own can be stopped as one; in the parent's session the kernel wakes it if the parent dies.
            process_group=0 if _CAN_STOP else None,
        )
        self._finalizer = weakref.finalize(self, _end, self._process)
        try:
            own = {"layer_files": _own_layer_files(), "python_folders": _python_folders()}
            facts = self._ask(own, (source, settings))
            self._sleep()
        except BaseException:
            self.close()
            raise
        self.version: str = facts["version"]
        self.device: str = facts["device"]
        self.precision: str = facts["precision"]
        self.threads: int = facts["threads"]
        self.memory_peak_bytes: int | None = facts["memory_peak_bytes"]
        self.load_seconds: float = facts["load_seconds"]

    @property
    def pid(self) -> int:
        """Of the process."""
        return int(self._process.pid)

    def block(self, seconds: float, *, least: int = LEAST, dropped: int = DROPPED) -> list[float]:
        """Wake, run some calls that are to be dropped and then as many as fit, at least some, and sleep again.

        Returns
        -------
        list of float
            Seconds of every call, those to be dropped first.

        Raises
        ------
        ZooError
        """
        self._wake()
        try:
            found: list[float] = self._ask({"seconds": seconds, "least": least, "dropped": dropped})
        finally:
            self._sleep()
        return found

    def close(self) -> None:
        """End the process."""
        self._finalizer()
        self._errors.close()

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, *messages: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            with self._deadline():
                for message in messages:
                    send(self._process.stdin, message)
                answer = receive(self._process.stdout)
        except (BrokenPipeError, EOFError):
            raise EngineError(self._last_words(), where=f"engine {self.settings.engine}") from None
        if isinstance(answer, dict) and "error" in answer:
            error: ZooError = answer["error"].__new__(answer["error"])
            ZooError.__init__(error, answer["message"], where=answer["where"], hint=answer["hint"])
            raise error
        return answer

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """Kill the process if it does not answer in time: reading from it then ends."""
        self._late = False

        def kill() -> None:
            self._late = True
            self._process.kill()

        timer = threading.Timer(self._timeout_s, kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _last_words(self) -> str:
        if self._late:
            return f"no answer in {self._timeout_s:g} s"
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return f"its process ended: {lines[-1].strip()[:300]}" if lines else "its process ended"

    def _sleep(self) -> None:
        _signal(self._process, "SIGSTOP")

    def _wake(self) -> None:
        _signal(self._process, "SIGCONT")


def take_turns(
    contenders: Sequence[Contender],
    *,
    blocks: int,
    block_s: float,
    least: int = LEAST,
    dropped: int = DROPPED,
    on_block: Callable[[int, int], None] | None = None,
) -> list[Turns]:
    """Run blocks of all contenders in turns; an uncounted block of each comes first.

    Parameters
    ----------
    contenders : sequence of Contender
    blocks : int
        That count, for each.
    block_s : float
        Seconds of each, beside its first calls.
    least, dropped : int
        Calls of a block: that count at least, and that come before and do not count.
    on_block : callable, optional
        Called with (blocks done, all blocks).
    """
    total = (blocks + 1) * len(contenders)
    found: list[list[list[float]]] = [[] for _ in contenders]
    for turn in range(blocks + 1):
        for i, contender in enumerate(contenders):
            seconds = contender.block(block_s, least=least, dropped=dropped)
            if turn:
                found[i].append(seconds)
            if on_block is not None:
                on_block(turn * len(contenders) + i + 1, total)
    return [Turns.of(own, dropped) for own in found]


def _signal(process: subprocess.Popen[bytes], name: str) -> None:
    if _CAN_STOP and process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, getattr(signal, name))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes, which ends a process that waits, and kill one that is busy."""
    _signal(process, "SIGCONT")
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _own_layer_files() -> list[str]:
    from caffezoo.net.own_layers import loaded_files

    return [str(file) for file in loaded_files()]


def _python_folders() -> list[str]:
    from caffezoo.net.python_code import code_folders

    return list(code_folders())
