"""A run over many networks: loads, measures, names and hands on, one job after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from caffezoo.errors import ZooError
from caffezoo.report.rows import TimeRow
from caffezoo.timing.binary import caffe_version, find_caffe, run_caffe_time
from caffezoo.timing.clock import Spread
from caffezoo.timing.device import accelerator_versions
from caffezoo.timing.measurement import Measurement, measure
from caffezoo.timing.networks import Job, input_size
from caffezoo.timing.subjects import LayerTime, Settings, open_subject
from caffezoo.version import __version__

BINARY = "caffe-time"
"""Name of the real program among engines in records."""

BACKWARD_ENGINES = ("torch", "caffe", BINARY)


@dataclass(frozen=True)
class Failure:
    """A network that could not be measured in an engine."""

    job: Job
    engine: str
    error: ZooError


def is_measured(
    rows: Iterable[TimeRow],
    job: Job,
    crop_size: int | str,
    settings: Settings,
    cpu: str,
    max_spread: float | None = None,
) -> bool:
    """Tell whether a store holds a measurement already.

    It must be of the same prototxt, size, batch, engine and precision, on this CPU or on a GPU as asked, with the
    backward pass if that is asked; where the engine chooses its threads, any number of them will do. With
    ``max_spread`` no spread of it may be a larger share of its median.
    """
    backward = settings.backward and settings.engine in BACKWARD_ENGINES
    wanted = (job.network, crop_size, job.batch_size, settings.engine, settings.precision, job.prototxt_sha256, cpu)
    return any(
        (r.network, r.crop_size, r.batch_size, r.engine, r.precision, r.prototxt_sha256, r.cpu) == wanted
        and settings.threads in (None, r.threads)
        and r.device.startswith("GPU") == (settings.gpu is not None)
        and not (backward and r.backward_ms is None)
        and (max_spread is None or relative_spread(r) <= max_spread)
        for r in rows
    )


def relative_spread(row: TimeRow) -> float:
    """Return the larger spread of a measurement, forward or backward, as a share of its median."""
    pairs = ((row.forward_spread_ms, row.forward_ms), (row.backward_spread_ms, row.backward_ms))
    return max((spread / median for spread, median in pairs if spread is not None and median is not None), default=0.0)


def measure_job(
    job: Job,
    settings: Sequence[Settings],
    *,
    iterations: int | None = None,
    budget_s: float = 5.0,
    layers: bool = True,
    on_block: Callable[[int, int], None] | None = None,
) -> list[Measurement | Failure]:
    """Measure one network in several engines, in turns.

    An engine that cannot run the network is a failure of its own; the others go on.
    """
    found: list[Measurement | Failure] = []
    try:
        network = job.load()
        size = input_size(network).plain
    except ZooError as error:
        return [Failure(job, s.engine, error) for s in settings]
    with ExitStack() as stack:
        subjects = []
        for s in settings:
            try:
                subjects.append(stack.enter_context(open_subject(network, s)))
            except ZooError as error:
                found.append(Failure(job, s.engine, error))
        if not subjects:
            return found
        try:
            timed = measure(subjects, iterations=iterations, budget_s=budget_s, layers=layers, on_block=on_block)
        except ZooError as error:
            return [*found, *(Failure(job, s.settings.engine, error) for s in subjects)]
        for subject, times in zip(subjects, timed, strict=True):
            engine = subject.settings.engine
            made = Measurement(
                job.network,
                size,
                job.batch_size,
                engine,
                subject.version,
                subject.device,
                subject.precision,
                subject.threads,
                times.forward,
                times.backward,
                times.layers,
                subject.memory_peak_bytes,
                {
                    "caffezoo": __version__,
                    engine: subject.version,
                    **accelerator_versions(subject.settings.gpu),
                },
                job.prototxt_sha256,
            )
            found.append(made)
    return found


def measure_binary(
    job: Job,
    caffe: str,
    *,
    iterations: int = 10,
    gpu: int | None = None,
    threads: int | None = None,
    timeout_s: float = 600.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Measurement:
    """Measure one network with the real ``caffe time``.

    Its times are means over all iterations, so there is no spread.

    Raises
    ------
    ZooError
    """
    program = find_caffe(caffe)
    network = job.load(weights=False)
    times = run_caffe_time(
        program,
        network,
        iterations=iterations,
        gpu=gpu,
        threads=threads,
        timeout_s=timeout_s,
        on_progress=on_progress,
    )
    types = {node.name: node.layer.type for node in network.nodes}
    count = len(times.iterations_ms)
    return Measurement(
        job.network,
        input_size(network).plain,
        job.batch_size,
        BINARY,
        caffe_version(program),
        "CPU" if times.gpu is None else f"GPU {times.gpu}",
        "float32",
        threads or 0,
        Spread(times.forward_ms, 0.0, count),
        Spread(times.backward_ms, 0.0, count),
        tuple(
            LayerTime(x.name, x.type or types.get(x.name, "Split"), x.forward_ms, x.backward_ms) for x in times.layers
        ),
        None,
        {"caffezoo": __version__, BINARY: caffe_version(program), **accelerator_versions(gpu)},
        job.prototxt_sha256,
        f"means of caffe time; forward and backward {times.steady_ms:g} ms at the median after the first iteration",
    )
