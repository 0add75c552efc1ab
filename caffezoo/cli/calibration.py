"""``--precision int8`` in every verb: quantise first where images to calibrate on are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.evaluation.dataset import Dataset
    from caffezoo.evaluation.recipe import Recipe
    from caffezoo.timing.networks import Job

CalibrationOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|sample",
        help="With --precision int8: quantise first, on these images. Default: what was quantised before.",
    ),
]


def calibrate(
    recipes: Sequence[Recipe],
    precision: str,
    calibration: str | None,
    *,
    dataset: Dataset | None = None,
    crop_sizes: Sequence[int] = (),
    **options: Any,
) -> None:
    """Quantise networks where that is asked for; refuse images that are evaluated and were calibrated on.

    Parameters
    ----------
    recipes : sequence of Recipe
    precision : str
    calibration : str or None
        What ``--calibration`` says.
    dataset : Dataset, optional
        What will be evaluated.
    crop_sizes : sequence of int, optional
        Of a sweep: each is another network to quantise.
    **options
        ``base_size``, ``crop_size``, ``output``, ``engine`` of
        :func:`caffezoo.evaluation.classifier.open_classifier`.
    """
    if precision != "int8":
        if calibration is not None:
            raise UsageError("--calibration is for --precision int8")
        return
    from caffezoo.precision.quantisation import calibration_files
    from caffezoo.precision.session import Quantiser, Setup, check_cached

    engine = options.pop("engine", "openvino")
    for recipe in recipes:
        for size in crop_sizes or (None,):
            sized = {**options, "crop_size": size, "base_size": size} if size is not None else options
            setup = Setup(engine, 1, sized)
            if calibration is not None:
                Quantiser(recipe, setup, calibration_files(calibration), dataset).quantise()
            elif dataset is not None:
                check_cached(recipe, setup, dataset)


def quantise_jobs(jobs: Sequence[Job], precision: str) -> None:
    """Quantise networks that are to be timed in 8 bits, on drawn inputs: times do not depend on the scales."""
    if precision != "int8":
        return
    from caffezoo.engines.quantised import Calibration, find_quantised, float_model
    from caffezoo.engines.seeding import seeded_inputs
    from caffezoo.precision.quantisation import quantise

    done = set()
    for job in jobs:
        if (job.prototxt, job.crop_size) in done:
            continue
        done.add((job.prototxt, job.crop_size))
        network = job.load()
        if find_quantised(float_model(network, network.outputs)) is None:
            drawn = [dict(seeded_inputs(network, seed, batch=network.batch or 1)) for seed in range(4)]
            quantise(network, network.outputs, drawn, calibration=Calibration(()), name=job.network)
