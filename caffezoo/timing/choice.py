"""Which engine: a short trial of those that are installed, remembered.

Every engine is a process of its own, and blocks are taken in turns (:mod:`caffezoo.timing.contender`). What was found
is kept in the cache, by prototxt, shapes, batch, precision and threads, together with what else it depends on: the CPU
and the versions; where those have changed, or the file is not what was written, the trial is made again. Weights are by
formula, because times do not depend on them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from caffezoo.engines.registry import DEFAULT_ENGINE
from caffezoo.errors import ZooError
from caffezoo.net.own_layers import loaded_files
from caffezoo.report.provenance import cpu_name
from caffezoo.timing.contender import Contender, take_turns
from caffezoo.timing.networks import Job
from caffezoo.timing.subjects import Settings
from caffezoo.version import __version__
from caffezoo.zoo.resources import cache_dir

CANDIDATES = (DEFAULT_ENGINE, "onnxruntime", "torch")
"""Real Caffe is not among them: it is what others are compared with, in another Python, and never the fastest."""
GAIN = 0.05
"""By what share of the default engine's time another must be faster to be chosen."""
BLOCKS, BLOCK_S, LEAST, DROPPED = 3, 0.25, 1, 1


@dataclass(frozen=True)
class Trial:
    """What engines took for one network.

    Attributes
    ----------
    ms : mapping of str to float
        Median of a batch, by engine, of those that ran it.
    failed : mapping of str to str
        Why the others did not.
    date : str
        UTC day of the trial.
    remembered : bool
        Whether it was made before.
    """

    ms: Mapping[str, float]
    failed: Mapping[str, str]
    date: str
    remembered: bool = False


@dataclass(frozen=True)
class Choice:
    """The engine, and why: a sentence."""

    engine: str
    why: str


def installed_versions() -> dict[str, str]:
    """Return the versions of the candidates that are installed, without importing them."""
    found = {}
    for name in CANDIDATES:
        if find_spec(name) is not None:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = "unknown"
    return found


def try_engines(
    job: Job, precision: str, threads: int | None, *, on_trial: Callable[[Sequence[str]], None] | None = None
) -> Trial:
    """Return what installed engines take for a network: as remembered, or from a trial now.

    Parameters
    ----------
    job : Job
    precision : str
    threads : int or None
    on_trial : callable, optional
        Called with the engines before a trial is made.

    Raises
    ------
    ZooError
        The network cannot be read.
    """
    known = remembered(job, precision, threads)
    if known is not None:
        return known
    versions = installed_versions()
    if on_trial is not None:
        on_trial(list(versions))
    ms: dict[str, float] = {}
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        contenders = []
        with ThreadPoolExecutor(len(versions)) as pool:  # loading is not timed: all at once
            loading = {
                name: pool.submit(Contender, job, Settings(name, precision, threads, backward=False))
                for name in versions
            }
        for name, future in loading.items():
            try:
                contenders.append(stack.enter_context(future.result()))
            except ZooError as error:
                failed[name] = str(error)
        try:
            turns = take_turns(contenders, blocks=BLOCKS, block_s=BLOCK_S, least=LEAST, dropped=DROPPED)
            ms = {c.settings.engine: median(t.block_ms) for c, t in zip(contenders, turns, strict=True)}
        except ZooError as error:  # one that dies in its turn; which one, its message says
            failed |= {c.settings.engine: str(error) for c in contenders}
    trial = Trial(ms, failed, datetime.now(UTC).strftime("%Y-%m-%d"))
    if ms:
        remember(job, precision, threads, trial)
    return trial


def choose_engine(trials: Sequence[Trial]) -> Choice:
    """Return the engine that takes the least time for all networks together; the default one unless the gain counts."""
    total: dict[str, float] = {}
    for name in CANDIDATES:
        if all(name in trial.ms for trial in trials):
            total[name] = sum(trial.ms[name] for trial in trials)
    failed = {name: why for trial in trials for name, why in trial.failed.items()}
    said = "".join(f"; {name} cannot: {why}" for name, why in failed.items())
    if not total:
        return Choice(DEFAULT_ENGINE, f"no engine ran it in the trial{said}")
    best = min(total, key=lambda name: total[name])
    close = DEFAULT_ENGINE in total and total[best] > (1 - GAIN) * total[DEFAULT_ENGINE]
    engine = DEFAULT_ENGINE if close else best
    others = ", ".join(f"{name} {ms:.3g}" for name, ms in sorted(total.items(), key=lambda x: x[1]) if name != engine)
    against = f" against {others}" if others else ", the only one here"
    kept = f", which gains less than {GAIN:.0%}" if engine != best else ""
    when = ", ".join(sorted({f"remembered from {t.date}" if t.remembered else "tried now" for t in trials}))
    return Choice(engine, f"{total[engine]:.3g} ms a batch{against}{kept} ({when}){said}")


def memory_file(job: Job, precision: str, threads: int | None) -> Path:
    """Return where a trial is remembered."""
    layers = [hashlib.sha256(file.read_bytes()).hexdigest() for file in loaded_files()]
    size = str(job.crop_size.plain) if job.crop_size is not None else None
    facts = [job.prototxt_sha256, job.options.to_json(), size, job.batch_size, precision, threads, layers]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    return cache_dir() / "engine-trials" / f"{key}.json"


def remembered(job: Job, precision: str, threads: int | None) -> Trial | None:
    """Return the trial that was made before; None where there is none, or one of other versions or another CPU."""
    versions = installed_versions()
    file = memory_file(job, precision, threads)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["depends_on"] != _depends_on(versions):
            return None
        ms = {str(name): float(value) for name, value in found["ms"].items()}
        failed = {str(name): str(why) for name, why in found["failed"].items()}
        if not ms or not all(name in versions and 0 < value < float("inf") for name, value in ms.items()):
            return None
        return Trial(ms, failed, str(found["date"]), remembered=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def remember(job: Job, precision: str, threads: int | None, trial: Trial) -> None:
    """Keep a trial; a cache that cannot be written costs the next trial and nothing else."""
    file = memory_file(job, precision, threads)
    content = {"ms": trial.ms, "failed": trial.failed, "date": trial.date}
    content["depends_on"] = _depends_on(installed_versions())
    part = file.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(content, indent=1), encoding="utf-8")
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)


def _depends_on(versions: Mapping[str, str]) -> dict[str, str]:
    return {**versions, "caffezoo": __version__, "cpu": cpu_name(), "cores": str(_cores())}


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
