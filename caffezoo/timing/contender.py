"""Engines that are compared: each in a process of its own, which sleeps while another runs.

Two runtimes in one process share its allocator, its thread pools and what they leave in the caches, and a runtime's
threads spin for a while after its call, on the cores of the next. So every contender is a process; between its blocks
it is stopped (SIGSTOP where there is such a thing, else it waits on its pipe). Blocks are taken in turns, so that a
slow minute of the machine hits all alike, and the first calls of a block, which find the caches full of what others
left, do not count towards the steady time. The very first of them is what a call after a pause costs: the cold one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

from caffezoo.timing.child import Child
from caffezoo.timing.clock import Spread

if TYPE_CHECKING:
    from caffezoo.net.graph import Network
    from caffezoo.timing.networks import Job
    from caffezoo.timing.subjects import Settings, Subject

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


class Contender(Child):
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
        super().__init__(_serve, source, settings, name=f"engine {settings.engine}", timeout_s=timeout_s)
        self.sleep()
        self.version: str = self.greeting["version"]
        self.device: str = self.greeting["device"]
        self.precision: str = self.greeting["precision"]
        self.threads: int = self.greeting["threads"]
        self.memory_peak_bytes: int | None = self.greeting["memory_peak_bytes"]
        self.load_seconds: float = self.greeting["load_seconds"]

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
        self.wake()
        try:
            found: list[float] = self.ask((seconds, least, dropped))
        finally:
            self.sleep()
        return found

    def __enter__(self) -> Contender:
        return self


def _serve(source: Any, settings: Settings) -> Generator[Any, tuple[float, int, int], None]:
    """Load the network, tell what was loaded, then run a block at every request."""
    start = time.perf_counter()
    with open_contender(source, settings) as subject:
        facts = ("version", "device", "precision", "threads", "memory_peak_bytes")
        told = {name: getattr(subject, name) for name in facts}
        block = yield {**told, "load_seconds": time.perf_counter() - start}
        while True:
            block = yield _block(subject, *block)


def open_contender(source: Any, settings: Settings) -> Subject:
    """Return what runs a source: the folded network in every engine that folds, also in torch."""
    from caffezoo.timing.networks import Job
    from caffezoo.timing.subjects import CaffeSubject, EngineSubject

    if hasattr(source, "open_subject"):
        opened: Subject = source.open_subject(settings)
        return opened
    network = source.load() if isinstance(source, Job) else source
    return (CaffeSubject if settings.engine == "caffe" else EngineSubject)(network, settings)


def _block(subject: Subject, seconds: float, least: int, dropped: int) -> list[float]:
    """Return the seconds of every call of a block, those that are to be dropped first."""
    found: list[float] = [subject.whole()[0] for _ in range(dropped)]
    start = time.perf_counter()
    while len(found) < dropped + least or time.perf_counter() - start < seconds:
        found.append(subject.whole()[0])
    return found


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
