"""Outcomes counted: error rates by label set, confusion, calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from caffezoo.evaluation.calibration import Calibration, CalibrationCounter
from caffezoo.evaluation.metrics import ErrorRate
from caffezoo.evaluation.outcomes import Outcome
from caffezoo.evaluation.result import SetRates
from caffezoo.evaluation.runs.scoring import Subject

FEWEST_CLASSES_TOP5 = 5


class Tally:
    """Counts of a subject, image by image."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.scored = 0
        self.unreadable: list[tuple[int, str]] = []
        sets = len(subject.label_sets)
        self._images = [0] * sets
        self._errors = [{1: 0, 5: 0} for _ in range(sets)]
        self._taken: Counter[tuple[int, int]] = Counter()
        # Scores that are no probabilities, or only those of some classes, say nothing of how sure the network is.
        self._calibrates = subject.classifier.head.kind == "probabilities" and not subject.subset
        self._calibration = CalibrationCounter()

    def add(self, image: int, outcome: Outcome) -> None:
        """Count one image."""
        if outcome.reason is not None:
            self.unreadable.append((image, outcome.reason))
            return
        self.scored += 1
        for number, rank in enumerate(outcome.ranks):
            if rank is not None:
                self._images[number] += 1
                for k in self._errors[number]:
                    self._errors[number][k] += rank >= k
        self._taken[self.subject.dataset.images[image].label, outcome.guess] += 1
        if self._calibrates and outcome.ranks[0] is not None:
            self._calibration.add(outcome.probabilities[0], outcome.ranks[0] == 0)

    def add_all(self, outcomes: Iterable[tuple[int, Outcome]]) -> None:
        """Count images."""
        for image, outcome in outcomes:
            self.add(image, outcome)

    @property
    def done(self) -> int:
        return self.scored + len(self.unreadable)

    @property
    def rates(self) -> tuple[SetRates, ...]:
        """Of the sets that say something of an image that was scored; the first one always."""
        return tuple(
            SetRates(one.name, *self._pair(number))
            for number, one in enumerate(self.subject.label_sets)
            if self._images[number] or number == 0
        )

    @property
    def top1(self) -> ErrorRate | None:
        """By the first set; None before its first image."""
        return self._pair(0)[0] if self._images[0] else None

    @property
    def top5(self) -> ErrorRate | None:
        return self._pair(0)[1] if self._images[0] else None

    @property
    def confusion(self) -> tuple[tuple[int, int, int], ...]:
        """(true class, class that it was taken for, images), by class; the images that are right among them."""
        return tuple((label, guess, count) for (label, guess), count in sorted(self._taken.items()))

    @property
    def calibration(self) -> Calibration | None:
        """By the first set; None where the scores are no probabilities."""
        return self._calibration.result() if self._calibrates and self._images[0] else None

    def _pair(self, number: int) -> tuple[ErrorRate, ErrorRate | None]:
        images, errors = self._images[number], self._errors[number]
        classes = len(self.subject.subset or ()) or self.subject.classifier.classes
        top5 = ErrorRate(errors[5], images) if classes >= FEWEST_CLASSES_TOP5 else None
        return ErrorRate(errors[1], images), top5
