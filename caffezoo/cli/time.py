"""``caffezoo time``: forward and backward time of networks, whole and layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli import recipes
from caffezoo.cli.calibration import quantise_jobs
from caffezoo.cli.console import say
from caffezoo.cli.engine_choice import AUTO, chosen_engine
from caffezoo.cli.network_arguments import NetworkArguments, takes_network, tell_notes
from caffezoo.cli.progress import progress
from caffezoo.cli.results import RESULTS_HELP
from caffezoo.cli.timing_output import TimingOutput
from caffezoo.errors import UsageError, ZooError

if TYPE_CHECKING:
    from collections.abc import Callable

    from caffezoo.timing.measurement import Measurement
    from caffezoo.timing.networks import Job
    from caffezoo.timing.session import Failure
    from caffezoo.timing.subjects import Settings

BINARY_ITERATIONS = 10


@takes_network(weights=False, metavar="NET[,NET]|all|FILE")
def time(
    arguments: NetworkArguments,
    engines: Annotated[
        str | None,
        typer.Option(
            "--engine",
            "--engines",
            metavar="ENGINE[,ENGINE]",
            help="torch, openvino, onnxruntime, caffe; measured in turns. auto: the fastest in a short trial. "
            "Default: openvino.",
        ),
    ] = None,
    caffe: Annotated[
        str | None, typer.Option(metavar="PATH", help="Caffe's own program `caffe`: run its `caffe time` instead.")
    ] = None,
    preset: Annotated[str, typer.Option(metavar="small|large|small,large", help="Input sizes of the zoo.")] = "small",
    crop_size: Annotated[
        str | None, typer.Option(metavar="SIDE|HxW", help="Size of the input in px, instead of a preset.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(metavar="N[,N]", help="Batch sizes, one after the other. Default: that of --shape, or 1."),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Runs of the network, and of its layers. Default: as --budget allows.")
    ] = None,
    budget: Annotated[float, typer.Option(metavar="SECONDS", help="For each network, size, batch and engine.")] = 5.0,
    backward: Annotated[
        bool, typer.Option("--backward/--forward-only", help="Time the backward pass where the engine has one.")
    ] = True,
    layers: Annotated[
        bool | None,
        typer.Option(
            "--per-layer/--no-layers", help="Time layer by layer as well. Default: for one network, not for more."
        ),
    ] = None,
    precision: recipes.PrecisionOption = "float32",
    threads: recipes.ThreadsOption = None,
    gpu: Annotated[
        int | None, typer.Option(metavar="ID", help="Run on this CUDA device: torch, caffe and --caffe PATH.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Kill --caffe PATH after so long.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line instead.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line a layer and one for the whole, instead.")] = (
        False
    ),
    record: Annotated[
        bool, typer.Option("--record", help="Append to time.csv; what it holds already is not measured again.")
    ] = False,
    max_spread: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="With --record: measure again what is held with a larger spread."),
    ] = None,
    results: Annotated[Path | None, typer.Option(metavar="DIR", help=RESULTS_HELP)] = None,
    caffe_python: recipes.CaffePythonOption = None,
    loadgen: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Let MLPerf's load generator measure instead, and keep its logs there."),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(metavar="single-stream,offline", help="With --loadgen. Default: both.")
    ] = None,
    min_duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="With --loadgen: of each scenario, at least. Default: 10.")
    ] = None,
    min_queries: Annotated[
        int | None, typer.Option(metavar="N", help="With --loadgen: in each scenario, at least. Default: 100.")
    ] = None,
) -> None:
    """Measure a network's forward and backward time, in ms for a batch, as `caffe time` does.

    Weights are by formula: none are fetched. Medians, with the interquartile range as spread. With --record an
    interrupted run goes on where it stopped when the command is given again.

    Examples:

    `caffezoo time se-resnet50 --engine torch`

    `caffezoo time train_val.prototxt --phase TRAIN --shape data=32,3,32,32 --engine torch`

    `caffezoo time --net resnet18-priv --caffe ~/caffe/build/tools/caffe --iterations 50`

    `caffezoo time --net all --preset small,large --engines openvino,torch --budget 4 --record`

    `caffezoo time resnet50 --loadgen mlperf-logs/ --min-duration 60`
    """
    from caffezoo.engines.registry import DEFAULT_ENGINE
    from caffezoo.timing.binary import find_caffe
    from caffezoo.timing.session import BINARY, Failure, measure_job
    from caffezoo.timing.subjects import Settings

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other")
    if caffe is not None and engines is not None:
        raise UsageError("--caffe and --engine exclude each other", hint="--caffe runs Caffe's own program")
    if results is not None and not record:
        raise UsageError("--results is for --record")
    if max_spread is not None and not (record and 0 < max_spread < float("inf")):
        raise UsageError("--max-spread is percent above 0, and for --record")
    o = arguments.options
    if record and (o.phase, o.level, o.stages) != ("TEST", 0, ()):
        raise UsageError("--record keeps times of networks as they are deployed: without --phase, --level and --stage")
    if iterations is not None and iterations < 1:
        raise UsageError(f"{iterations} iterations are not positive")
    if not 0 < budget < float("inf") or not 0 < timeout < float("inf"):
        raise UsageError("--budget and --timeout are seconds above 0")
    if loadgen is None and any(value is not None for value in (scenario, min_duration, min_queries)):
        raise UsageError("--scenario, --min-duration and --min-queries are for --loadgen")
    if loadgen is not None and (caffe or record or as_csv or iterations is not None or layers):
        raise UsageError(
            "--loadgen decides what is run, and keeps logs of its own: without --caffe, --record, --csv,"
            " --iterations and --per-layer"
        )
    names = [BINARY] if caffe is not None else list(dict.fromkeys((engines or DEFAULT_ENGINE).split(",")))
    settings = [Settings(name, precision, threads, gpu, backward, caffe_python) for name in names]
    jobs = _jobs(arguments, preset, crop_size, batch)
    quantise_jobs(jobs, precision)
    with_layers = layers if layers is not None else len({job.network for job in jobs}) == 1
    if caffe is None:
        _check(settings)
    elif precision != "float32" or not backward:
        raise UsageError("Caffe's own program runs float32, forward and backward")
    else:
        find_caffe(caffe)
    if loadgen is not None:
        from caffezoo.cli.load_tests import run_load_tests

        run_load_tests(jobs, settings, loadgen, scenario, min_duration, min_queries, as_json=as_json)
        return
    output = TimingOutput(as_json, as_csv, record, results, max_spread)
    failures: list[Failure] = []
    with progress(len(jobs), every_item=True) as show:
        for number, job in enumerate(jobs):
            show(number, job.network)

            def part(done: int, planned: int, number: int = number, job: Job = job) -> None:
                show(number + (done / planned if planned else 0.0), job.network)

            tell_notes(output.notes(job))
            chosen = dict.fromkeys(map(partial(_chosen, job), settings))
            wanted = [s for s in chosen if not output.holds(job, s)]
            if caffe is None:
                made = measure_job(
                    job, wanted, iterations=iterations, budget_s=budget, layers=with_layers, on_block=part
                )
            else:
                made = [_with_binary(job, caffe, iterations or BINARY_ITERATIONS, s, timeout, part) for s in wanted]
            failures += [m for m in made if isinstance(m, Failure)]
            output.take(job, [m for m in made if not isinstance(m, Failure)])
    output.finish()
    if failures and len(jobs) * len(settings) == 1:
        raise failures[0].error
    for failure in failures:
        where = f"{failure.job.network}, {failure.engine}"
        say("warning", f"{where}: {failure.error}")
    if failures:
        raise typer.Exit(1)


def _chosen(job: Job, settings: Settings) -> Settings:
    """Return settings with the engine that a trial of this job finds the fastest, where that is asked for."""
    from dataclasses import replace

    engine = chosen_engine(settings.engine, [job], settings.precision, settings.threads)
    return replace(settings, engine=engine)


def _with_binary(
    job: Job, caffe: str, iterations: int, settings: Settings, timeout_s: float, part: Callable[[int, int], None]
) -> Measurement | Failure:
    from caffezoo.timing.session import BINARY, Failure, measure_binary

    options: dict[str, Any] = {"gpu": settings.gpu, "threads": settings.threads, "timeout_s": timeout_s}
    try:
        return measure_binary(job, caffe, iterations=iterations, on_progress=part, **options)
    except ZooError as error:
        return Failure(job, BINARY, error)


def _jobs(network: NetworkArguments, preset: str, crop_size: str | None, batch: str | None) -> list[Job]:
    """Return what is to be measured, in order."""
    from dataclasses import replace

    from caffezoo.formats.image_size import Size
    from caffezoo.timing.networks import Job, mixed, zoo_jobs
    from caffezoo.zoo.index import load_index

    if batch is None:
        batch = str(next((shape[0] for _, shape in network.options.shapes), 1))
    try:
        batches = [int(b) for b in batch.split(",")]
    except ValueError:
        batches = []
    if not batches or min(batches) < 1:
        raise UsageError(f"--batch {batch} is not a list of positive numbers")
    size = Size.of(crop_size, "crop size") if crop_size is not None else None
    net = network.name
    if net is None:
        path = network.file
        return [Job(path.stem.removeprefix("deploy_"), path, size, b, network.options) for b in batches]
    known = load_index(network.index)
    names = list(known) if net == "all" else [n.strip() for n in net.split(",")]
    jobs = zoo_jobs(known, names, [p.strip() for p in preset.split(",")], batches)
    if size is not None:
        jobs = [replace(job, crop_size=size) for job in jobs]
    jobs = list(dict.fromkeys(replace(job, options=network.options) for job in jobs))
    return mixed(jobs) if len(names) > 1 else jobs


def _check(settings: Sequence[Settings]) -> None:
    """Refuse an engine that is not here before anything is measured."""
    from caffezoo.engines.registry import GPU_ENGINES, engine_class

    for s in settings:
        if s.engine == AUTO:
            if s.gpu is not None:
                raise UsageError("--engine auto tries engines on the CPU", hint="name one with --gpu")
            continue
        cls = engine_class(s.engine)
        if s.gpu is not None and s.engine not in GPU_ENGINES:
            raise UsageError(f"engine {s.engine} runs on the CPU", hint=f"a GPU is for {', '.join(GPU_ENGINES)}")
        if s.engine == "caffe":
            from caffezoo.engines.caffe_process import find_caffe_python

            find_caffe_python(s.caffe_python)
        else:
            cls.probe()
