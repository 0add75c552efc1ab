"""Whether an evaluation reproduces what was published, and if not, why: what can be tested at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from caffezoo.data.label_sets import VALIDATION_IMAGES, validation_number
from caffezoo.errors import ZooError
from caffezoo.evaluation.answer_keys import own_labels
from caffezoo.evaluation.classifier import open_classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.evaluator import evaluate_together, new_run
from caffezoo.evaluation.noise import paired_runs
from caffezoo.evaluation.recipe import Recipe
from caffezoo.evaluation.result import EvaluationResult
from caffezoo.evaluation.runs.scoring import Subject
from caffezoo.evaluation.statistics import PairedDifference
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.zoo.synsets import LABEL_ORDERS, label_permutation

TESTED_IMAGES = 500
TOLERANCE_POINTS = 0.1


@dataclass(frozen=True)
class Verdict:
    """A published figure beside the measured one.

    Attributes
    ----------
    network, protocol, source : str
    published, measured : float
        Top-1 error in percent.
    interval : tuple of float
        Of the measured one, at 95 %.
    tolerance : float
        Points by which the published figure may lie outside the interval.
    deviations : tuple of str
        What is not as published: a figure that is met with another mean is not reproduced.
    """

    network: str
    protocol: str
    source: str
    published: float
    measured: float
    interval: tuple[float, float]
    tolerance: float
    deviations: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all is as published, and the published figure in the interval but for the tolerance."""
        low, high = self.interval
        return not self.deviations and low - self.tolerance - 1e-9 <= self.published <= high + self.tolerance + 1e-9

    def __str__(self) -> str:
        low, high = self.interval
        says = "agrees with" if self.holds else "does not reproduce"
        return (
            f"{self.network} at {self.protocol}: top-1 error {self.measured:.2f} % [{low:.2f}, {high:.2f}] {says} the"
            f" published {self.published:.2f} % ({self.source}), tolerance {self.tolerance:g} points"
            + "".join(f"; {deviation}" for deviation in self.deviations)
        )


@dataclass(frozen=True)
class Cause:
    """Something that was exchanged, and what it does to the error: ``difference`` from the run as it was."""

    name: str
    change: str
    difference: PairedDifference


@dataclass(frozen=True)
class _Exchange:
    """A cause to be tested; ``mends``: it makes something as published that is not."""

    name: str
    change: str
    recipe: Recipe
    dataset: Dataset
    options: dict[str, Any]
    mends: bool = False


def deviations(recipe: Recipe, known: Preprocessing) -> tuple[str, ...]:
    """Return what of a network's preprocessing is not as published."""
    found = []
    for name in ("mean", "std", "channel_order", "resize"):
        given, published = getattr(recipe.preprocessing, name), getattr(known, name)
        if given != published:
            found.append(f"{name.replace('_', ' ')} is {_text(given)}, published is {_text(published)}")
    return tuple(found)


def verdict(
    result: EvaluationResult,
    published: Sequence[Mapping[str, Any]],
    tolerance: float = TOLERANCE_POINTS,
    others: tuple[str, ...] = (),
) -> Verdict | None:
    """Hold a result against the published figure of its protocol; None where none was published.

    Parameters
    ----------
    result : EvaluationResult
    published : sequence of mapping
        Rows of the index, as plain data: ``crops``, ``base_size``, ``crop_size``, ``top1_error`` or ``top1_accuracy``,
        ``source``.
    tolerance : float, optional
        In points.
    others : tuple of str, optional
        :func:`deviations`.
    """
    protocol = result.protocol
    for row in published:
        error = row.get("top1_error")
        if error is None and row.get("top1_accuracy") is not None:
            error = round(100 - row["top1_accuracy"], 6)
        same = all(
            row.get(name) in (None, wanted)
            for name, wanted in (
                ("crops", protocol.crops),
                ("base_size", protocol.base_size.plain),
                ("crop_size", protocol.crop_size.plain),
            )
        )
        if error is not None and same:
            return Verdict(
                result.network,
                protocol.name,
                str(row.get("source", "")),
                float(error),
                result.top1.percent,
                result.top1.interval_percent,
                tolerance,
                others,
            )
    return None


def other_images(dataset: Dataset) -> str | None:
    """Return what tells the images from those of the published figure; None where they are the validation set."""
    known = sum(validation_number(image.path) is not None for image in dataset.images)
    if known == len(dataset.images) == VALIDATION_IMAGES:
        return None
    return (
        f"published figures are of the {VALIDATION_IMAGES} ILSVRC2012 validation images; these are"
        f" {len(dataset.images)} images, {known} of them"
    )


def explain(
    recipe: Recipe,
    known: Preprocessing,
    subject: Subject,
    found: Verdict,
    options: Mapping[str, Any],
    *,
    workers: int = 2,
    mends_only: bool = False,
) -> list[Cause]:
    """Exchange what commonly goes wrong, one thing at a time, on at most :data:`TESTED_IMAGES` of the images.

    Parameters
    ----------
    recipe : Recipe
        As it was evaluated.
    known : Preprocessing
        What the network is published with.
    subject : Subject
        What was evaluated.
    found : Verdict
    options : mapping
        That the classifier was opened with.
    workers : int, optional
    mends_only : bool, optional
        Only what makes as published what is not: of other images no published figure tells what is nearer.

    Returns
    -------
    list of Cause
        What makes as published what is not, then what brings the error significantly nearer (p below 0.05), each the
        largest difference first.
    """
    dataset = subject.dataset
    count = len(dataset.images)
    step = max(1, count // TESTED_IMAGES)
    few = replace(dataset, images=dataset.images[::step][:TESTED_IMAGES])
    subjects, tested = [_opened(recipe, few, dict(options))], []
    try:
        for exchange in _exchanges(recipe, known, dict(options), few, subject):
            if mends_only and not exchange.mends:
                continue
            try:
                subjects.append(_opened(exchange.recipe, exchange.dataset, exchange.options))
                tested.append(exchange)
            except ZooError:
                continue  # what does not run is no cause
        runs = [new_run(one) for one in subjects]
        evaluate_together(subjects, runs, workers=workers)
        differences = [paired_runs(runs[0], run) for run in runs[1:]]
    finally:
        for one in subjects:
            one.classifier.close()
    gap = abs(found.measured - found.published)
    causes = []
    for exchange, difference in zip(tested, differences, strict=True):
        nearer = abs(found.measured + difference.difference_points - found.published) < gap
        if exchange.mends or (nearer and difference.p < 0.05):
            causes.append((exchange.mends, Cause(exchange.name, exchange.change, difference)))
    causes.sort(key=lambda pair: (not pair[0], -abs(pair[1].difference.difference_points)))
    return [cause for _, cause in causes]


def _exchanges(
    recipe: Recipe, known: Preprocessing, options: dict[str, Any], few: Dataset, subject: Subject
) -> list[_Exchange]:
    own = recipe.preprocessing
    found: list[_Exchange] = []

    def exchange(name: str, change: str, mends: bool = False, **values: Any) -> None:
        other = replace(recipe, preprocessing=replace(own, **values))
        found.append(_Exchange(name, change, other, few, options, mends))

    for name in ("mean", "std"):
        published, given = getattr(known, name), getattr(own, name)
        if published != given and len(published) == len(given):
            exchange(name, f"{_text(given)} -> the published {_text(published)}", True, **{name: published})
    if own.channels == 3:
        order = "RGB" if own.channel_order == "BGR" else "BGR"
        mends = order == known.channel_order
        exchange("channel order", f"{own.channel_order} -> {order}", mends, channel_order=order)
    resize = "squash" if own.resize == "short" else "short"
    exchange("resize", f"{own.resize} -> {resize}", resize == known.resize, resize=resize)
    for order in LABEL_ORDERS:
        if subject.classifier.classes == 1000 and order != recipe.label_order and recipe.label_order in LABEL_ORDERS:
            to = label_permutation(recipe.label_order, order)
            images = tuple(replace(image, label=to[image.label]) for image in few.images)
            relabelled = replace(few, images=images)
            found.append(_Exchange("label order", f"{recipe.label_order} -> {order}", recipe, relabelled, options))
    for name, change, more in (
        ("ceil_mode", "the other rounding of pooling", {"other_rounding": True}),
        ("resizer", "-> cv2-area", {"resizer": "cv2-area"}),
        ("resizer", "-> pillow-bilinear", {"resizer": "pillow-bilinear"}),
        ("decoder", "-> pillow", {"decoder": "pillow"}),
    ):
        found.append(_Exchange(name, change, recipe, few, {**options, **more}))
    return found


def _opened(recipe: Recipe, dataset: Dataset, options: dict[str, Any]) -> Subject:
    classifier = open_classifier(recipe, streams=None, images=len(dataset.images), **options)
    return Subject(classifier, dataset, (own_labels(dataset),))


def _text(values: Sequence[float] | str) -> str:
    return values if isinstance(values, str) else " ".join(f"{v:g}" for v in values)
