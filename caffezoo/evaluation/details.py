"""What stands behind an error rate: classes, confusions, calibration; from a run's summary."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffezoo.errors import DataError
from caffezoo.evaluation.calibration import Calibration, CalibrationCounter
from caffezoo.evaluation.metrics import ErrorRate
from caffezoo.evaluation.runs.folder import open_finished


@dataclass(frozen=True)
class ClassError:
    """A class with the error rate of its images."""

    label: int
    rate: ErrorRate


def class_errors(confusion: Iterable[tuple[int, int, int]]) -> list[ClassError]:
    """Return the classes of (label, guess, images), the worst first; of equals the one with more images first."""
    images: Counter[int] = Counter()
    errors: Counter[int] = Counter()
    for label, guess, count in confusion:
        images[label] += count
        errors[label] += count if guess != label else 0
    found = [ClassError(label, ErrorRate(errors[label], count)) for label, count in images.items()]
    return sorted(found, key=lambda one: (-one.rate.percent, -one.rate.images, one.label))


def confused_pairs(confusion: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return (label, guess, images) of what was taken for something else, the most frequent first."""
    wrong = [taken for taken in confusion if taken[0] != taken[1]]
    return sorted(wrong, key=lambda taken: (-taken[2], taken[0], taken[1]))


def read_summary(path: Path) -> dict[str, Any]:
    """Return the summary of a finished run.

    Raises
    ------
    DataError
        It is no finished run, or the summary is damaged.
    """
    open_finished(path)
    file = path / "summary.json"
    try:
        found = json.loads(file.read_text("utf-8"))
        return dict(found)
    except FileNotFoundError:
        raise DataError(
            "it has no summary yet", where=str(path), hint="give its command again with --run, and it writes one"
        ) from None
    except (OSError, ValueError, TypeError):
        raise DataError("the summary is damaged", where=str(file), hint="give its command again with --run") from None


def run_calibration(path: Path) -> Calibration:
    """Return the reliability of a finished run by its first label set.

    Raises
    ------
    DataError
        It is no finished run, or its scores are no probabilities.
    """
    counter = CalibrationCounter()
    for _, outcome in open_finished(path).outcomes():
        if outcome.reason is None and outcome.ranks[0] is not None:
            counter.add(outcome.probabilities[0], outcome.ranks[0] == 0)
    return counter.result()
