"""What became of one image, and which labels it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.evaluation.metrics import true_rank

TOP = 5
DIGITS = 6  # of the probabilities that are kept


@dataclass(frozen=True)
class LabelSet:
    """One answer key.

    Attributes
    ----------
    name : str
    labels : tuple of tuple of int
        The classes that are right, an image each; an image without any does not count.
    """

    name: str
    labels: tuple[tuple[int, ...], ...]

    @property
    def images(self) -> int:
        """Images that count."""
        return sum(1 for labels in self.labels if labels)


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes
    ----------
    ranks : tuple of (int or None)
        By label set: how many classes score at least as high as its best label; None where the set has none.
    guess : int
        The class that it was taken for.
    top : tuple of int
        The most probable classes, best first.
    probabilities : tuple of float
        Theirs.
    reason : str or None
        Why it cannot be read; then there is nothing else.
    """

    ranks: tuple[int | None, ...] = ()
    guess: int = 0
    top: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    reason: str | None = None

    def to_json(self) -> list[Any]:
        """Return the fields as plain JSON values."""
        if self.reason is not None:
            return [self.reason]
        return [list(self.ranks), self.guess, list(self.top), list(self.probabilities)]

    @classmethod
    def from_json(cls, values: Any) -> Outcome:
        """Undo :meth:`to_json`; ValueError or TypeError where that did not write it."""
        if len(values) == 1:
            if not isinstance(values[0], str):
                raise ValueError("no reason")
            return cls(reason=values[0])
        ranks, guess, top, probabilities = values
        return cls(
            tuple(None if rank is None else int(rank) for rank in ranks),
            int(guess),
            tuple(int(k) for k in top),
            tuple(float(p) for p in probabilities),
        )


def judge(
    scores: NDArray[Any],
    label: int,
    answers: Sequence[tuple[int, ...]],
    *,
    subset: Sequence[int] | None = None,
    where: str | None = None,
) -> Outcome:
    """Hold an image's scores against its labels.

    Parameters
    ----------
    scores : float array (classes,)
    label : int
        The class that a right guess is told by.
    answers : sequence of tuple of int
        Its labels in each set. Of several labels the best placed counts.
    subset : sequence of int, optional
        Only these classes take part, as in ImageNet-A and -R.
    where : str, optional
        The image, for messages.

    Raises
    ------
    EngineError
        A score is not finite.
    """
    rank = true_rank(scores, label, where=where)
    if subset is not None:
        inside = np.full(scores.shape, -1.0)
        inside[list(subset)] = scores[list(subset)]
        scores = inside
        rank = int(np.count_nonzero(scores >= scores[label])) - 1
    best = _highest(scores)
    # The highest of the others; on a tie the true one counts as beaten.
    guess = label if rank == 0 else next(k for k in best if k != label)
    return Outcome(
        tuple((rank if labels == (label,) else _best_rank(scores, labels)) if labels else None for labels in answers),
        guess,
        tuple(best),
        tuple(round(p, DIGITS) for p in scores[best].tolist()),
    )


def _highest(scores: NDArray[Any]) -> list[int]:
    """Return the classes of the highest scores, best first, of equal ones the first; without sorting all."""
    if len(scores) <= 4 * TOP:
        return np.argsort(-scores, kind="stable")[:TOP].tolist()  # type: ignore[no-any-return]
    least = np.partition(scores, -TOP)[-TOP]
    found = np.flatnonzero(scores >= least)
    return found[np.argsort(-scores[found], kind="stable")[:TOP]].tolist()  # type: ignore[no-any-return]


def _best_rank(scores: NDArray[Any], labels: tuple[int, ...]) -> int:
    """Classes outside the labels that score at least as high as the best of them."""
    highest = max(scores[label] for label in labels)
    above = int(np.count_nonzero(scores >= highest))
    return above - sum(1 for label in set(labels) if scores[label] >= highest)
