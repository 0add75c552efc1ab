"""What the system around a network does to its error: each part exchanged alone, against the published protocol.

The study of "SysNoise" (Huang et al., arXiv 2307.00280) for Caffe networks: decoder, resizer, colour conversion,
the rounding of pooling's windows, precision. All variants see the same images in one pass, so that each difference is
one of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from caffezoo.errors import EngineError, NetworkError, PrecisionError, UsageError
from caffezoo.evaluation.answer_keys import own_labels
from caffezoo.evaluation.classifier import open_classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.evaluator import check_subject, evaluate_together, new_run
from caffezoo.evaluation.matching import match_labels
from caffezoo.evaluation.recipe import Recipe
from caffezoo.evaluation.result import Progress
from caffezoo.evaluation.runs.folder import Run
from caffezoo.evaluation.runs.scoring import Subject
from caffezoo.evaluation.statistics import PairedDifference, holm

VARIANTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("decoder", "pillow", {"decoder": "pillow"}),
    ("decoder", "simplejpeg", {"decoder": "simplejpeg"}),
    ("resizer", "cv2-area", {"resizer": "cv2-area"}),
    ("resizer", "pillow-bilinear", {"resizer": "pillow-bilinear"}),
    ("resizer", "pillow-bicubic", {"resizer": "pillow-bicubic"}),
    ("colour", "yuv420", {"decoder": "yuv420"}),
    ("pooling", "other rounding", {"other_rounding": True}),
    ("precision", "float16", {"precision": "float16"}),
    ("precision", "bfloat16", {"precision": "bfloat16"}),
)
FACTORS = tuple(dict.fromkeys(factor for factor, _, _ in VARIANTS))


@dataclass(frozen=True)
class NoiseRow:
    """A variant against the published protocol; ``corrected_p`` is by Holm over the network's variants.

    ``error`` None: the variant does not run, and ``problem`` says why.
    """

    network: str
    factor: str
    variant: str
    difference: PairedDifference | None
    corrected_p: float | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; errors in percent, differences in points."""
        found: dict[str, Any] = {"network": self.network, "factor": self.factor, "variant": self.variant}
        if self.difference is None:
            return {**found, "problem": self.problem}
        d = self.difference
        return {
            **found,
            "images": d.images,
            "published_protocol_error": d.first_percent,
            "error": d.second_percent,
            "difference": d.difference_points,
            "interval": list(d.interval_points),
            "p": d.p,
            "corrected_p": self.corrected_p,
        }


def noise_study(
    recipe: Recipe,
    dataset: Dataset,
    *,
    factors: Sequence[str] = FACTORS,
    workers: int = 2,
    on_image: Callable[[Progress], None] | None = None,
    **options: Any,
) -> list[NoiseRow]:
    """Evaluate a network under the published protocol and every variant, in one pass.

    Parameters
    ----------
    recipe : Recipe
    dataset : Dataset
        As :func:`caffezoo.evaluation.dataset.open_dataset` gives it.
    factors : sequence of str, optional
        Of :data:`FACTORS`.
    workers : int, optional
        Threads that decode.
    on_image : callable, optional
        Called after every image of every variant.
    **options
        Of :func:`caffezoo.evaluation.classifier.open_classifier`.

    Raises
    ------
    UsageError
        No such factor.
    DataError, EngineError
    """
    unknown = [factor for factor in factors if factor not in FACTORS]
    if unknown:
        raise UsageError(f"factor '{unknown[0]}' is unknown", hint=f"choose {', '.join(FACTORS)}")
    subjects = [_subject(recipe, dataset, options)]
    rows: list[NoiseRow] = []
    opened: list[tuple[str, str]] = []
    try:
        check_subject(subjects[0])
        for factor, variant, change in VARIANTS:
            if factor in factors and not (factor == "precision" and options.get("precision") == variant):
                try:
                    subjects.append(_subject(recipe, dataset, {**options, **change}))
                    opened.append((factor, variant))
                except (PrecisionError, NetworkError, UsageError, EngineError) as error:
                    rows.append(NoiseRow(recipe.name, factor, variant, None, problem=str(error)))
        runs = [new_run(subject) for subject in subjects]
        evaluate_together(subjects, runs, workers=workers, on_image=on_image)
        differences = [paired_runs(runs[0], run) for run in runs[1:]]
    finally:
        for subject in subjects:
            subject.classifier.close()
    corrected = holm([difference.p for difference in differences])
    found = [
        NoiseRow(recipe.name, factor, variant, difference, p)
        for (factor, variant), difference, p in zip(opened, differences, corrected, strict=True)
    ]
    order = {(factor, variant): place for place, (factor, variant, _) in enumerate(VARIANTS)}
    return sorted([*found, *rows], key=lambda row: order[row.factor, row.variant])


def paired_runs(first: Run, second: Run) -> PairedDifference:
    """Return the difference of two runs at top-1 by the first label set, over the images that both have scored."""
    counts = {(False, False): 0, (True, False): 0, (False, True): 0, (True, True): 0}
    for (_, one), (_, other) in zip(first.outcomes(), second.outcomes(), strict=True):
        if one.reason is None and other.reason is None and one.ranks[0] is not None and other.ranks[0] is not None:
            counts[one.ranks[0] > 0, other.ranks[0] > 0] += 1
    return PairedDifference(sum(counts.values()), counts[True, False], counts[False, True], counts[True, True])


def _subject(recipe: Recipe, dataset: Dataset, options: dict[str, Any]) -> Subject:
    classifier = open_classifier(recipe, streams=None, images=len(dataset.images), **options)
    try:
        matched = match_labels(dataset, recipe.label_order, classifier.classes)
    except BaseException:
        classifier.close()
        raise
    return Subject(classifier, matched, (own_labels(matched),))
