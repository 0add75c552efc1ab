"""From a recipe to its figures at several precisions: open, calibrate, compare, keep layers in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from caffezoo.engines.quantised import INT8, QuantisedNetwork, find_quantised, float_model
from caffezoo.errors import EngineError, EngineUnavailableError, PrecisionError
from caffezoo.evaluation.classifier import Classifier, open_classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.recipe import Recipe
from caffezoo.precision.mixed import MixedPrecision, keep_layers
from caffezoo.precision.quantisation import CalibrationImages, quantise, refuse_overlap
from caffezoo.precision.quantisation_noise import LayerNoise, quantisation_noise
from caffezoo.precision.study import PrecisionResult, compare_precisions, engine_for

RANKING_IMAGES = 20
"""Of the calibration, for the noise of layers: more changes the ranking hardly and takes their time."""


@dataclass(frozen=True)
class Setup:
    """How networks are opened: engine and options of :func:`caffezoo.evaluation.classifier.open_classifier`."""

    engine: str = "openvino"
    batch_size: int = 8
    options: dict[str, Any] = field(default_factory=dict)

    def open(self, recipe: Recipe, precision: str) -> Classifier:
        """Return the classifier at a precision."""
        engine = engine_for(precision, self.engine)
        return open_classifier(recipe, engine=engine, batch_size=self.batch_size, precision=precision, **self.options)


class Quantiser:
    """Quantises one network, again and again with other layers kept.

    Parameters
    ----------
    recipe : Recipe
    setup : Setup
    files : sequence of Path
        Calibration images.
    evaluated : Dataset, optional
        Images that will be evaluated, which may not be among them.

    Raises
    ------
    DataError
        Calibration images that are evaluated, or cannot be read.
    """

    def __init__(self, recipe: Recipe, setup: Setup, files: Sequence[Path], evaluated: Dataset | None = None) -> None:
        one = replace(setup, batch_size=1)
        classifier = one.open(recipe, "float32")
        try:
            self.network, self.outputs = classifier.engine.network, classifier.engine.outputs
            single = replace(classifier.protocol, crops=1)
            self.images = CalibrationImages(files, single, next(iter(self.network.inputs)))
        finally:
            classifier.close()
        self.name = recipe.name
        if evaluated is not None:
            refuse_overlap(self.images.hashes, evaluated)

    def quantise(self, keep: Sequence[str] = ()) -> QuantisedNetwork:
        """Quantise all layers but some; the cache holds the newest."""
        return quantise(
            self.network, self.outputs, self.images, calibration=self.images.hashes, keep=keep, name=self.name
        )

    def noise(self) -> list[LayerNoise]:
        """Return the noise of the layers of the network in the cache, the noisiest first."""
        model = float_model(self.network, self.outputs)
        found = find_quantised(model)
        if found is None:
            raise PrecisionError("is not quantised", where=self.name)
        return quantisation_noise(model, found.model(), islice(self.images, RANKING_IMAGES))


def check_cached(recipe: Recipe, setup: Setup, evaluated: Dataset) -> None:
    """Refuse to evaluate images that the quantised network in the cache was calibrated on.

    Raises
    ------
    DataError
    """
    classifier = setup.open(recipe, "float32")
    try:
        found = find_quantised(float_model(classifier.engine.network, classifier.engine.outputs))
    finally:
        classifier.close()
    if found is not None:
        refuse_overlap(found.calibration, evaluated)


def run_study(
    recipe: Recipe,
    precisions: Sequence[str],
    dataset: Dataset,
    setup: Setup,
    *,
    labelled: bool = True,
    workers: int = 2,
    on_image: Callable[[int], None] | None = None,
    on_refused: Callable[[str, EngineError], None] | None = None,
) -> list[PrecisionResult]:
    """Compare a network's precisions on a data set; see :func:`caffezoo.precision.study.compare_precisions`.

    Parameters
    ----------
    on_refused : callable, optional
        Called with a precision that cannot run here, and why; the others are compared all the same. Without it, and for
        the first precision, the error is raised.
    """
    with ExitStack() as stack:
        opened = []
        for precision in precisions:
            try:
                opened.append(setup.open(recipe, precision))
            except (PrecisionError, EngineUnavailableError) as error:
                if on_refused is None or not opened:
                    raise
                on_refused(precision, error)
                continue
            stack.callback(opened[-1].close)
        return compare_precisions(opened, dataset, labelled=labelled, workers=workers, on_image=on_image)


def keep_within(
    quantiser: Quantiser,
    recipe: Recipe,
    dataset: Dataset,
    setup: Setup,
    max_drop: float,
    baseline: PrecisionResult,
    *,
    workers: int = 2,
    on_step: Callable[[int, int, float], None] | None = None,
) -> MixedPrecision:
    """Leave the network in the cache with as few layers in float32 as the drop allows.

    Parameters
    ----------
    quantiser : Quantiser
    recipe, dataset, setup
        As for :func:`run_study`; the data set's labels count.
    max_drop : float
        Percentage points of top-1 accuracy against the baseline.
    baseline : PrecisionResult
        In float32, on the same images.
    on_step : callable, optional
        Called after every evaluation with its number, the layers kept and the drop.
    """
    steps = 0

    def drop(keep: tuple[str, ...]) -> float:
        nonlocal steps
        if keep or steps:  # before the first step all layers were quantised, to rank them
            quantiser.quantise(keep)
        (found,) = run_study(recipe, [INT8], dataset, setup, workers=workers)
        fallen = found.top1.percent - baseline.top1.percent
        steps += 1
        if on_step is not None:
            on_step(steps, len(keep), fallen)
        return fallen

    quantiser.quantise()
    ranking = [noise.layer for noise in quantiser.noise()]
    found = keep_layers(ranking, max_drop, drop)
    if len(found.kept) == len(ranking):
        raise PrecisionError(
            f"quantising any layer costs more than {max_drop:g} points of top-1 accuracy", where=recipe.name
        )
    quantiser.quantise(tuple(kept.layer for kept in found.kept))
    return found
