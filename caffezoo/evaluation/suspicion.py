"""What in the results of an evaluation looks like a mistake in how it was set up.

Preprocessing, order and head are checked before the first image; what nothing proves shows only in the answers. A
network whose answers are no better than guessing, or agree with the labels after a shift or in the other published
order, was most likely asked wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from caffezoo.zoo.synsets import LABEL_ORDERS, label_permutation, synsets

FEWEST_IMAGES = 5
"""Below so many images nothing is suspected."""

CHANCE = 0.01
"""A network that guesses reaches what is not suspected less often than this."""


def suspicions(confusion: Iterable[tuple[int, int, int]], classes: int, order: str = "unknown") -> tuple[str, ...]:
    """Return what to warn of.

    Parameters
    ----------
    confusion : iterable of (label, guess, images)
    classes : int
    order : str, optional
        Of the network's classes; see :class:`caffezoo.evaluation.classifier.Recipe`.

    Returns
    -------
    tuple of str
    """
    taken = tuple(confusion)
    images = sum(count for _, _, count in taken)
    if images < FEWEST_IMAGES or classes < 2:
        return ()
    right = _hits(taken, lambda label: label)
    found = []
    for shift, remedy in (
        (-1, "labels counted from 1 (--labels-from 1)"),
        (1, "a background class that comes first (--drop-background), or labels that are one too small"),
    ):
        found.append((_hits(taken, lambda label, shift=shift: label + shift), _by(shift), remedy))  # type: ignore[misc]
    if classes == len(synsets()):
        for one, other in (LABEL_ORDERS, LABEL_ORDERS[::-1]):
            to = label_permutation(one, other)
            hits = _hits(taken, lambda label, to=to: to[label])  # type: ignore[misc]
            text = f"the label's place in the order of {other}, were it of {one}"
            found.append((hits, text, f"the other order (--network-order {other})"))
    hits, place, remedy = max(found)
    if hits > 2 * right and not _is_chance(hits, images, classes):
        return (f"{hits} of {images} answers are {place}, and {right} the label itself: it looks like {remedy}",)
    if _is_chance(right, images, classes):
        return (
            f"{right} of {images} images are right, no better than guessing among {classes} classes: check the order of"
            " labels and outputs, mean, std, channel order and weights",
        )
    return ()


def _by(shift: int) -> str:
    return f"one {'above' if shift > 0 else 'below'} the label"


def _hits(taken: Sequence[tuple[int, int, int]], wanted: Callable[[int], int]) -> int:
    return sum(count for label, guess, count in taken if guess == wanted(label))


def _is_chance(hits: int, images: int, classes: int) -> bool:
    """Whether guessing among the classes is right so often, or more, with a probability above :data:`CHANCE`.

    The upper tail of the binomial distribution with p = 1 / classes.
    """
    p = 1 / classes
    if hits <= images * p:
        return True
    below = 0.0
    for k in range(hits):
        below += math.exp(
            math.lgamma(images + 1)
            - math.lgamma(k + 1)
            - math.lgamma(images - k + 1)
            + k * math.log(p)
            + (images - k) * math.log1p(-p)
        )
    return 1 - below > CHANCE
