"""A network at several precisions on the same images: one pass, one table.

Every precision sees the same crops, decoded once, so that all differences are paired: they resolve far smaller losses
than two intervals beside each other do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.engines.program import EVERYTHING, STORAGE, arithmetic_of
from caffezoo.engines.quantised import INT8, QuantisedNetwork, find_quantised, float_model
from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.classifier import Classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.identity import facts
from caffezoo.evaluation.metrics import ErrorRate, guess_of, true_rank
from caffezoo.evaluation.pipeline import score_images
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.runs.scoring import Subject
from caffezoo.evaluation.statistics import PairedDifference, paired_difference

SCORES = "scores of all precisions"


@dataclass(frozen=True)
class PrecisionResult:
    """What one precision gave.

    Attributes
    ----------
    network, precision, engine : str
    ranks, guesses : tuple of int
        Of the true class (0: right), and the class taken, for every readable image in order. Without labels ranks are
        against the first precision's answers.
    top1, top5 : ErrorRate
        ``top5`` is None below five classes.
    weight_bytes : int
        Of the learned values as a file of this precision holds them.
    seconds : float
        That the engine computed, views of all images.
    agreement : float
        Share of images with the first precision's answer, 0..1.
    largest : float
        Difference of a score from the first precision's; the scores are those that errors are counted on.
    top1_difference, top5_difference : PairedDifference
        Against the first precision.
    protocol : Protocol
    facts : mapping of str to object
        What it is of and what ran it: see :func:`caffezoo.evaluation.identity.facts`.
    quantised : QuantisedNetwork or None
        What int8 ran.
    """

    network: str
    precision: str
    engine: str
    ranks: tuple[int, ...]
    guesses: tuple[int, ...]
    top1: ErrorRate
    top5: ErrorRate | None
    weight_bytes: int
    seconds: float
    agreement: float
    largest: float
    top1_difference: PairedDifference
    top5_difference: PairedDifference | None
    protocol: Protocol
    facts: Mapping[str, Any]
    quantised: QuantisedNetwork | None = None

    @property
    def images(self) -> int:
        return len(self.ranks)

    @property
    def images_per_second(self) -> float:
        """Of the engine alone: decoding is not in it."""
        return self.images / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return plain values; errors, intervals and differences in percent and percentage points."""
        return {
            "network": self.network,
            "precision": self.precision,
            "engine": self.engine,
            "images": self.images,
            "top1_error": self.top1.percent,
            "top1_interval": list(self.top1.interval_percent),
            "top5_error": self.top5.percent if self.top5 else None,
            "top5_interval": list(self.top5.interval_percent) if self.top5 else None,
            "agreement": self.agreement,
            "largest_score_difference": self.largest,
            "top1_difference": self.top1_difference.difference_points,
            "top1_difference_interval": list(self.top1_difference.interval_points),
            "top1_p": self.top1_difference.p,
            "top5_difference": self.top5_difference.difference_points if self.top5_difference else None,
            "top5_p": self.top5_difference.p if self.top5_difference else None,
            "weight_bytes": self.weight_bytes,
            "images_per_second": self.images_per_second,
        }


class _Panel:
    """Engines side by side as one: the scores of all, one behind the other, and the seconds of each."""

    def __init__(self, classifiers: Sequence[Classifier]) -> None:
        self._classifiers = classifiers
        self.seconds = [0.0] * len(classifiers)

    def run(self, batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        found = []
        for i, classifier in enumerate(self._classifiers):
            start = time.perf_counter()
            scores = classifier.engine.run(batch)[classifier.output]
            self.seconds[i] += time.perf_counter() - start
            found.append(scores.reshape(len(batch), -1)[:, classifier.first_class :])
        return {SCORES: np.concatenate(found, axis=1)}


def compare_precisions(
    classifiers: Sequence[Classifier],
    dataset: Dataset,
    *,
    labelled: bool = True,
    workers: int = 2,
    on_image: Callable[[int], None] | None = None,
) -> list[PrecisionResult]:
    """Score every image at every precision.

    Parameters
    ----------
    classifiers : sequence of Classifier
        One network and protocol, opened at each precision; the first is what the others are compared with.
    dataset : Dataset
    labelled : bool, optional
        Without labels the first precision's answers count as the true ones.
    workers : int, optional
        Threads that decode.
    on_image : callable, optional
        Called with the number of images done.

    Raises
    ------
    UsageError
        The classifiers are not of one protocol.
    DataError
        No image that can be read.
    EngineError
    """
    first = classifiers[0]
    if any(c.protocol != first.protocol or c.classes != first.classes for c in classifiers):
        raise UsageError("precisions are compared on the same crops of the same network")
    panel = _Panel(classifiers)
    ranks: list[list[int]] = [[] for _ in classifiers]
    guesses: list[list[int]] = [[] for _ in classifiers]
    largest = [0.0] * len(classifiers)
    done = 0
    scored = score_images(
        panel,
        dataset.items(range(len(dataset.images))),
        first.protocol,
        batch_size=min(c.engine.batch_size for c in classifiers),
        output=SCORES,
        workers=workers,
    )
    try:
        for image, found in zip(dataset.images, scored, strict=True):
            done += 1
            if found.scores is not None:
                rows = found.scores.reshape(len(classifiers), -1)
                label = image.label if labelled else int(rows[0].argmax())
                for i, scores in enumerate(rows):
                    rank = true_rank(scores, label, where=image.path)
                    ranks[i].append(rank)
                    guesses[i].append(guess_of(scores, label, rank))
                    largest[i] = max(largest[i], float(np.abs(scores - rows[0]).max()))
            if on_image is not None:
                on_image(done)
    finally:
        scored.close()
    if not ranks[0]:
        raise DataError(f"none of the {done} images can be read")
    subjects = [Subject(classifier, dataset, ()) for classifier in classifiers]
    return [
        _result(subject, ranks[0], ranks[i], guesses[0], guesses[i], panel.seconds[i], largest[i])
        for i, subject in enumerate(subjects)
    ]


def _result(
    subject: Subject,
    first_ranks: Sequence[int],
    ranks: Sequence[int],
    first_guesses: Sequence[int],
    guesses: Sequence[int],
    seconds: float,
    largest: float,
) -> PrecisionResult:
    def rate(k: int) -> ErrorRate:
        return ErrorRate(sum(rank >= k for rank in ranks), len(ranks))

    def difference(k: int) -> PairedDifference:
        return paired_difference([rank >= k for rank in first_ranks], [rank >= k for rank in ranks])

    classifier = subject.classifier
    five = classifier.classes >= 5
    quantised = None
    if classifier.engine.precision == INT8:
        quantised = find_quantised(float_model(classifier.engine.network, classifier.engine.outputs))
    return PrecisionResult(
        network=classifier.recipe.name,
        precision=classifier.engine.precision,
        engine=classifier.engine.name,
        ranks=tuple(ranks),
        guesses=tuple(guesses),
        top1=rate(1),
        top5=rate(5) if five else None,
        weight_bytes=weight_bytes(classifier, quantised),
        seconds=seconds,
        agreement=sum(a == b for a, b in zip(first_guesses, guesses, strict=True)) / len(guesses),
        largest=largest,
        top1_difference=difference(1),
        top5_difference=difference(5) if five else None,
        protocol=classifier.protocol,
        facts=facts(subject),
        quantised=quantised,
    )


_BYTES: Mapping[str, int] = {"float32": 4, "float16": 2, "bfloat16": 2}


def weight_bytes(classifier: Classifier, quantised: QuantisedNetwork | None = None) -> int:
    """Return the size of the learned values as a file of the engine's precision holds them, in bytes.

    For int8 it is the size of the quantised model's constants: 8-bit weights, float32 biases and scales.
    """
    engine = classifier.engine
    if quantised is not None:
        from onnx import numpy_helper

        return sum(numpy_helper.to_array(tensor).nbytes for tensor in quantised.model().graph.initializer)
    if engine.precision in (STORAGE, EVERYTHING):
        width = 2
    else:
        width = _BYTES[arithmetic_of(engine.precision)]
    values = sum(blob.size for blobs in engine.network.weights.all_held().values() for blob in blobs)
    return width * values


def engine_for(precision: str, engine: str) -> str:
    """Return the engine that runs a precision: the given one, but torch where every layer is rounded."""
    return "torch" if precision == EVERYTHING else engine


def check_precisions(precisions: Sequence[str]) -> None:
    """Refuse an empty or repeated list of precisions.

    Raises
    ------
    UsageError
    """
    if len(set(precisions)) != len(precisions) or not precisions:
        raise UsageError(f"--dtypes {','.join(precisions)} wants each precision once")
