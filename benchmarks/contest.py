"""What the benchmarks of engines share: contenders in turns, a process each, and rows of the store.

Every contender sleeps while another runs (:mod:`caffezoo.timing.contender`). Figures are medians over the calls of all
blocks; beside them stand the lowest and the highest median of a block, which tell a machine at rest from a busy one.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caffezoo.errors import EngineUnavailableError, ZooError
from caffezoo.report.provenance import cpu_instructions, cpu_name, provenance
from caffezoo.report.rows import SpeedRow
from caffezoo.report.speed_tables import CHECK, COLD, STEADY
from caffezoo.report.store import Store
from caffezoo.timing.contender import Contender, Turns, take_turns
from caffezoo.timing.networks import Job, input_size, zoo_jobs
from caffezoo.timing.subjects import Settings
from caffezoo.version import __version__
from caffezoo.zoo.index import load_index

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Entrant:
    """A contender that has run: what it was, and its times."""

    job: Job
    engine: str
    precision: str
    version: str
    device: str
    threads: int
    memory_peak_bytes: int | None
    load_seconds: float
    turns: Turns

    @property
    def ms(self) -> float:
        """The median of its steady calls."""
        return self.turns.steady.median_ms

    @property
    def unrest(self) -> float:
        """How far apart the medians of its blocks lie, as a share of the lowest."""
        return max(self.turns.block_ms) / min(self.turns.block_ms) - 1


def arguments(description: str | None, *, blocks: int = 7, seconds: float = 1.5) -> argparse.ArgumentParser:
    """Return a parser with the flags that all benchmarks of engines have, and defaults of the blocks."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    oracle = ROOT / ".oracle" / "bin" / "python"
    parser.add_argument(
        "--caffe-python",
        default=os.environ.get("CAFFE_PYTHON") or (str(oracle) if oracle.exists() else None),
        help="Python that has pycaffe; without one, real Caffe's rows are left out",
    )
    parser.add_argument("--blocks", type=int, default=blocks, help=f"of each contender (default: {blocks})")
    parser.add_argument("--block-seconds", type=float, default=seconds, help=f"length of one (default: {seconds})")
    parser.add_argument("--threads", type=int, default=2, help="and as many cores (default: 2)")
    parser.add_argument("--record", action="store_true", help="append to speed.csv, of which the tables are made")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="folder of speed.csv")
    return parser


def job(name: str, batch: int = 1) -> Job:
    """Return a network of the zoo at its small size."""
    (found,) = zoo_jobs(load_index(), [name], ["small"], [batch])
    return found


def installed(names: Sequence[str]) -> list[str]:
    """Return the engines of these that start here; what the others lack goes to standard error."""
    from caffezoo.engines.registry import engine_class

    found = []
    for name in names:
        try:
            engine_class(name).probe()
            found.append(name)
        except EngineUnavailableError as error:
            print(f"left out: {error}", file=sys.stderr)
    return found


class Contest:
    """One run of a benchmark: its machine, its settings, the rows that it leaves.

    Parameters
    ----------
    benchmark : str
        Name of the benchmark in the store.
    options : argparse.Namespace
        Of :func:`arguments`.

    Attributes
    ----------
    apart : bool
        Whether ``caffezoo time`` has disagreed.
    """

    def __init__(self, benchmark: str, options: argparse.Namespace) -> None:
        self.benchmark = benchmark
        self.options = options
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
        self.apart = False
        self.session = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.instructions = " ".join(cpu_instructions())
        print(f"{options.threads} threads on {cpu_name()} ({self.instructions or 'instruction sets not known'})")
        print(
            f"{options.blocks} blocks of {options.block_seconds:g} s in turns, each contender in a process of its own"
        )

    def run(
        self, entries: Sequence[tuple[Job, str, str]], *, checked: str | None = None, tolerance: float = 0.05
    ) -> list[Entrant]:
        """Let contenders (job, engine, precision) take turns, print and record their rows.

        Parameters
        ----------
        checked : str, optional
            An engine of the first job whose time is also measured by ``caffezoo time``, while all contenders sleep;
            in float32.
        tolerance : float
            By what share it may differ.
        """
        o = self.options
        with ExitStack() as stack:
            contenders: list[tuple[Job, Contender]] = []
            with ThreadPoolExecutor(o.threads) as pool:  # loading is not timed
                how = {"backward": False, "caffe_python": o.caffe_python}
                loading = [
                    (
                        work,
                        engine,
                        precision,
                        pool.submit(Contender, work, Settings(engine, precision, o.threads, **how)),
                    )
                    for work, engine, precision in entries
                ]
            for work, engine, precision, future in loading:
                try:
                    contenders.append((work, stack.enter_context(future.result())))
                except ZooError as error:
                    print(f"left out: {work.network}, {engine}, {precision}: {error}", file=sys.stderr)
            processes = [contender for _, contender in contenders]
            before = o.blocks if checked is None else max(1, o.blocks // 2)
            parts = [take_turns(processes, blocks=before, block_s=o.block_seconds)]
            said = None
            if checked is not None:
                said = self._said_by_time(entries[0][0], checked)
                parts.append(take_turns(processes, blocks=max(1, o.blocks - before), block_s=o.block_seconds))
            entrants = [
                Entrant(
                    work,
                    c.settings.engine,
                    c.precision,
                    c.version,
                    c.device,
                    c.threads,
                    c.memory_peak_bytes,
                    c.load_seconds,
                    Turns.joined([part[i] for part in parts]),
                )
                for i, (work, c) in enumerate(contenders)
            ]
        for entrant in entrants:
            self._print(entrant)
            self._record(entrant)
        if said is not None:
            self._check(next(e for e in entrants if e.engine == checked), said, tolerance)
        return entrants

    def _said_by_time(self, work: Job, engine: str) -> Mapping[str, Any]:
        o = self.options
        command = [sys.executable, "-m", "caffezoo", "time", "--net", work.network, "--batch", str(work.batch_size)]
        command += ["--engine", engine, "--threads", str(o.threads), "--no-layers", "--json"]
        command += ["--budget", str(max(2.0, 2 * o.block_seconds))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{shlex.join(command)} failed: {done.stderr.strip()}")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def _check(self, entrant: Entrant, said: Mapping[str, Any], tolerance: float) -> None:
        apart = said["forward_ms"] / entrant.ms - 1
        verdict = "ok" if abs(apart) <= tolerance else "APART"
        print(
            f"  {CHECK:22s} {said['forward_ms']:9.2f} ms: {apart:+.1%} against {entrant.engine} here "
            f"(allowed {tolerance:.0%}): {verdict}",
            flush=True,
        )
        values = {"milliseconds": said["forward_ms"], "spread_ms": said["forward_spread_ms"]}
        self._append(entrant, CHECK, {**values, "calls": said["iterations"], "blocks": 1})
        self.apart |= abs(apart) > tolerance

    def _print(self, entrant: Entrant) -> None:
        name = f"{entrant.engine} {entrant.precision}"
        low, high = min(entrant.turns.block_ms), max(entrant.turns.block_ms)
        busy = "  (the machine was not at rest)" if entrant.unrest > 0.1 else ""
        print(
            f"  {name:22s} {entrant.ms:9.2f} ms, blocks {low:.2f} to {high:.2f}; "
            f"cold {entrant.turns.cold.median_ms:.2f}{busy}",
            flush=True,
        )

    def _record(self, entrant: Entrant) -> None:
        turns = entrant.turns
        low, high = min(turns.block_ms), max(turns.block_ms)
        for what, spread in ((STEADY, turns.steady), (COLD, turns.cold)):
            values: dict[str, Any] = {"milliseconds": spread.median_ms, "spread_ms": spread.spread_ms}
            values |= {"calls": spread.count, "blocks": len(turns.block_ms)}
            if what == STEADY:
                values |= {"lowest_block_ms": low, "highest_block_ms": high}
                values |= {"memory_peak_bytes": entrant.memory_peak_bytes or None}
            self._append(entrant, what, values)

    def task(
        self,
        work: Job,
        engine: str,
        version: str,
        precision: str,
        what: str,
        seconds: float,
        memory_peak_bytes: int | None,
    ) -> None:
        """Print and record a task that is done once, such as quantising a network."""
        memory = f", at most {memory_peak_bytes / 1e9:.2f} GB" if memory_peak_bytes else ""
        print(f"  {what}: {seconds:.2f} s{memory}", flush=True)
        once = Turns.of([[seconds]], dropped=0)
        entrant = Entrant(work, engine, precision, version, "CPU", 0, memory_peak_bytes, 0.0, once)
        values = {"milliseconds": 1e3 * seconds, "calls": 1, "blocks": 1, "memory_peak_bytes": memory_peak_bytes}
        self._append(entrant, what, values)

    def _append(self, entrant: Entrant, what: str, values: Mapping[str, Any]) -> None:
        if not self.options.record:
            return
        o, work = self.options, entrant.job
        row = {
            **provenance(["python", *(os.path.relpath(a, ROOT) if os.path.isabs(a) else a for a in sys.argv)]),
            "session": self.session,
            "benchmark": self.benchmark,
            "what": what,
            "network": work.network,
            "crop_size": input_size(work.load(weights=False)).plain,
            "batch_size": work.batch_size,
            "engine": entrant.engine,
            "precision": entrant.precision,
            "threads": entrant.threads or o.threads,
            "device": entrant.device,
            "cores": o.threads,
            "instructions": self.instructions or None,
            "prototxt_sha256": work.prototxt_sha256,
            "versions": " ".join(dict.fromkeys((f"caffezoo={__version__}", f"{entrant.engine}={entrant.version}"))),
            **values,
        }
        Store(o.results).append([SpeedRow.make({k: v for k, v in row.items() if v is not None}, self.benchmark)])
