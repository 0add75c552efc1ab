"""``--engine auto``: the engine of a command, chosen by a trial that is told once on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from caffezoo.cli.network_arguments import tell_notes
from caffezoo.errors import ZooError

if TYPE_CHECKING:
    from caffezoo.evaluation.asked import Asked
    from caffezoo.evaluation.recipe import Recipe
    from caffezoo.net.load_options import LoadOptions
    from caffezoo.timing.networks import Job

AUTO = "auto"
"""What a user gives instead of an engine's name."""


def chosen_engine(engine: str, jobs: Sequence[Job], precision: str, threads: int | None) -> str:
    """Return the engine that a flag names; for ``auto`` the one that takes the least time for these networks.

    Raises
    ------
    ZooError
        A network cannot be read.
    """
    if engine != AUTO:
        return engine
    from caffezoo.cli.calibration import quantise_jobs
    from caffezoo.timing.choice import choose_engine, try_engines

    trials = []
    for job in jobs:

        def tell(engines: Sequence[str], job: Job = job) -> None:
            tell_notes([f"trying {', '.join(engines)} on {job.network}"], "note")
            with suppress(ZooError):  # the default engine may run what cannot be tried
                quantise_jobs([job], precision)

        trials.append(try_engines(job, precision, threads, on_trial=tell))
    choice = choose_engine(trials)
    tell_notes([f"engine {choice.engine}: {choice.why}"], "note")
    return choice.engine


def file_job(name: str, prototxt: object, options: LoadOptions, batch: int = 1) -> Job:
    """Return the job of a network as its file has it, at the batch nearest to the wanted one that it runs at."""
    from pathlib import Path

    from caffezoo.net.batch import possible_batch
    from caffezoo.timing.networks import Job

    file = Path(str(prototxt))
    network = options.load(file)
    return Job(name, file, None, possible_batch(network, batch), options)


def recipe_jobs(recipes: Sequence[Recipe], asked: Asked, batch: int, crops: int = 1) -> list[Job]:
    """Return the jobs of networks that classify images, at the sizes at which they will see them."""
    from dataclasses import replace

    from caffezoo.evaluation.classifier import choose_protocol

    jobs = []
    for recipe in recipes:
        recipe.check_task()
        job = file_job(recipe.name, recipe.prototxt, recipe.options, batch)
        network = recipe.options.load(recipe.prototxt)
        protocol, _ = choose_protocol(
            recipe, network.inputs, base_size=asked.base_size, crop_size=asked.crop_size, crops=crops
        )
        jobs.append(replace(job, crop_size=protocol.crop_size))
    return jobs
