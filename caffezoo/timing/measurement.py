"""What a timed run gives, and the run itself: warm-up, whole network, layer by layer.

Several engines with one network are measured in turns, a block of runs each, so that a machine that slows down slows
all of them down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from caffezoo.timing.clock import MIN_SAMPLES, Spread, share, warm_up
from caffezoo.timing.subjects import LayerTime, Subject

BLOCKS = 3
AGREEMENT = 0.15
STEADY = 0.05
"""By what the two halves of a run may differ."""
WARM_UP_SHARE, WHOLE_SHARE = 0.2, 0.5


@dataclass(frozen=True)
class Measurement:
    """Times of one network at one batch and size in one engine.

    Attributes
    ----------
    network, engine, version, device, precision : str
    crop_size : int or str
        Of the input in px; ``112x96`` where it is not square.
    batch_size, threads : int
        Threads are 0 where the engine does not tell.
    forward, backward : Spread or None
        Of the whole network, for the batch.
    layers : tuple of LayerTime
        Empty if layers were not asked for.
    memory_peak_bytes : int or None
    versions : mapping of str to str
    prototxt_sha256 : str
    note : str or None
    """

    network: str
    crop_size: int | str
    batch_size: int
    engine: str
    version: str
    device: str
    precision: str
    threads: int
    forward: Spread | None
    backward: Spread | None
    layers: tuple[LayerTime, ...] = ()
    memory_peak_bytes: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    prototxt_sha256: str = ""
    note: str | None = None

    @property
    def layer_sum_ms(self) -> float | None:
        """Forward and backward of all layers together, None without layers."""
        return sum(x.forward_ms + (x.backward_ms or 0.0) for x in self.layers) if self.layers else None

    @property
    def total_ms(self) -> float:
        """Forward and backward of the whole network."""
        return sum(s.median_ms for s in (self.forward, self.backward) if s is not None)

    @property
    def disagreement(self) -> float | None:
        """How far the sum over layers is from the whole, as a share of the whole; None without layers."""
        total = self.layer_sum_ms
        return None if total is None or not self.total_ms else total / self.total_ms - 1

    @property
    def doubt(self) -> str | None:
        """What to know before these times are believed: layers that do not sum up, halves of the run that differ."""
        found = []
        off = self.disagreement
        if off is not None and abs(off) > AGREEMENT:
            found.append(f"layers sum up to {off:+.0%} of the whole network's time")
        for name, spread in (("forward", self.forward), ("backward", self.backward)):
            if spread is not None and spread.drift is not None and abs(spread.drift) > STEADY:
                found.append(f"the second half of the {name} runs took {spread.drift:+.0%} against the first")
        return "; ".join(found) or None

    def to_record(self) -> dict[str, Any]:
        """Return the record that the results store takes, without date, cpu and command."""
        return {
            "network": self.network,
            "crop_size": self.crop_size,
            "batch_size": self.batch_size,
            "forward_ms": self.forward and self.forward.median_ms,
            "forward_spread_ms": self.forward and self.forward.spread_ms,
            "forward_p90_ms": self.forward and self.forward.p90_ms,
            "forward_p99_ms": self.forward and self.forward.p99_ms,
            "backward_ms": self.backward and self.backward.median_ms,
            "backward_spread_ms": self.backward and self.backward.spread_ms,
            "iterations": (self.forward or self.backward or Spread(0, 0, 1)).count,
            "memory_peak_bytes": self.memory_peak_bytes,
            "engine": self.engine,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "sha256": {"prototxt": self.prototxt_sha256},
            "versions": dict(self.versions),
            "layers": [
                {
                    "layer": x.layer,
                    "layer_type": x.layer_type,
                    "forward_ms": round(x.forward_ms, 6),
                    "backward_ms": None if x.backward_ms is None else round(x.backward_ms, 6),
                }
                for x in self.layers
            ],
            "note": self.note,
        }


@dataclass(frozen=True)
class Timed:
    """Medians of one subject, before they are named."""

    forward: Spread
    backward: Spread | None
    layers: tuple[LayerTime, ...]
    warm_up_runs: int


def measure(
    subjects: Sequence[Subject],
    *,
    iterations: int | None = None,
    budget_s: float = 5.0,
    layers: bool = True,
    on_block: Callable[[int, int], None] | None = None,
) -> list[Timed]:
    """Time networks in turns.

    Parameters
    ----------
    subjects : sequence of Subject
    iterations : int, optional
        Runs of the whole network, and of the layers; as many as ``budget_s`` allows if not given, three at least.
    budget_s : float
        Seconds for each subject: a fifth to warm up, half for the whole network, the rest for its layers. With
        ``iterations`` it bounds the warm-up only.
    layers : bool
        Whether to time layers; without, the whole network has their share.
    on_block : callable, optional
        Called with (blocks done, all blocks).
    """
    forward: list[list[float]] = [[] for _ in subjects]
    backward: list[list[float]] = [[] for _ in subjects]
    warm = [warm_up(partial(_total, subject), WARM_UP_SHARE * budget_s) for subject in subjects]
    steps, done = BLOCKS * len(subjects) + len(subjects) * layers, 0
    whole_s = (WHOLE_SHARE if layers else 1 - WARM_UP_SHARE) * budget_s / BLOCKS
    for block in range(BLOCKS):
        for i, subject in enumerate(subjects):
            wanted = share(iterations or MIN_SAMPLES, BLOCKS)[block]
            if len(subjects) > 1 and wanted:
                subject.whole()  # the others' work has pushed this one out of the caches
            start, count = time.perf_counter(), 0
            while count < wanted or (iterations is None and time.perf_counter() - start < whole_s):
                there, back = subject.whole()
                forward[i].append(there)
                backward[i] += [] if back is None else [back]
                count += 1
            done += 1
            if on_block is not None:
                on_block(done, steps)
    found = []
    for i, subject in enumerate(subjects):
        times: list[LayerTime] = []
        if layers:
            limit = _Limit(iterations, (1 - WARM_UP_SHARE - WHOLE_SHARE) * budget_s)
            times = subject.layers(limit.keep_going)
            done += 1
            if on_block is not None:
                on_block(done, steps)
        back_spread = Spread.of(backward[i]) if backward[i] else None
        found.append(Timed(Spread.of(forward[i]), back_spread, tuple(times), warm[i]))
    return found


def _total(subject: Subject) -> float:
    return sum(seconds or 0.0 for seconds in subject.whole())


class _Limit:
    """Says whether one more run of the layers is wanted."""

    def __init__(self, iterations: int | None, seconds: float) -> None:
        self._iterations = iterations
        self._seconds = seconds
        self._runs = 0
        self._start = time.perf_counter()

    def keep_going(self) -> bool:
        self._runs += 1
        if self._iterations is not None:
            return self._runs < self._iterations
        if self._runs == 1:
            self._start = time.perf_counter()  # loading for the profile is over
        return self._runs < MIN_SAMPLES or time.perf_counter() - self._start < self._seconds
