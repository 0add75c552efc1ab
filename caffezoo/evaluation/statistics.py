"""How sure figures are: networks on the same images, compared as pairs.

Two networks that saw the same images differ only where one is right and the other wrong. Everything here is made of
those two counts, so that it resolves far smaller differences than two intervals beside each other do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from caffezoo.errors import DataError
from caffezoo.evaluation.metrics import Z_95


@dataclass(frozen=True)
class PairedDifference:
    """Two error rates on the same images.

    Attributes
    ----------
    images : int
        That both have scored.
    first_wrong, second_wrong : int
        Images that only the first, only the second has wrong.
    both_wrong : int
    """

    images: int
    first_wrong: int
    second_wrong: int
    both_wrong: int = 0

    @property
    def difference_points(self) -> float:
        """Error rate of the second minus that of the first, in percentage points: above 0, the first is better."""
        return 100.0 * (self.second_wrong - self.first_wrong) / self.images

    @property
    def interval_points(self) -> tuple[float, float]:
        """95 % interval of the difference in percentage points; see :func:`paired_interval`."""
        low, high = paired_interval(self.second_wrong, self.first_wrong, self.images)
        return 100.0 * low, 100.0 * high

    @property
    def p(self) -> float:
        """Exact McNemar p of the two being equally good; see :func:`mcnemar_p`."""
        return mcnemar_p(self.first_wrong, self.second_wrong)

    @property
    def first_percent(self) -> float:
        """Error rate of the first in percent."""
        return 100.0 * (self.first_wrong + self.both_wrong) / self.images

    @property
    def second_percent(self) -> float:
        """Error rate of the second in percent."""
        return 100.0 * (self.second_wrong + self.both_wrong) / self.images


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> PairedDifference:
    """Compare two networks on the same images.

    Parameters
    ----------
    first, second : sequence of bool
        Whether each image is wrong, in one order.

    Raises
    ------
    DataError
        No images, or not as many.
    """
    if len(first) != len(second) or not len(first):
        raise DataError(f"{len(first)} and {len(second)} images are no pairs")
    pairs = [(bool(one), bool(two)) for one, two in zip(first, second, strict=True)]
    return PairedDifference(
        len(pairs), pairs.count((True, False)), pairs.count((False, True)), pairs.count((True, True))
    )


def mcnemar_p(first_only: int, second_only: int) -> float:
    """Return the exact two-sided p of McNemar's test.

    Parameters
    ----------
    first_only, second_only : int
        Images that only one of the two has wrong. Under the null hypothesis each of them is a fair coin's:
        ``p = min(1, 2 P(X <= min))``, X binomial with n = first_only + second_only, 1/2 (Q. McNemar, Psychometrika 12
        (1947) 153, in its exact form). Summed in whole numbers, so that it holds at any n.

    Examples
    --------
    >>> mcnemar_p(2, 10)
    0.03857421875
    """
    n = first_only + second_only
    if n == 0:
        return 1.0
    term = total = 1
    for k in range(1, min(first_only, second_only) + 1):
        term = term * (n - k + 1) // k
        total += term
    return min(1.0, total / (1 << (n - 1)))


def paired_interval(first_only: int, second_only: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Return an interval for the difference of two paired proportions.

    Parameters
    ----------
    first_only, second_only : int
        Of ``total``, how many have only the first, only the second property; the difference is
        ``(first_only - second_only) / total``.
    total : int
    z : float, optional
        Normal quantile; the default gives 95 %.

    Returns
    -------
    (low, high) : tuple of float
        In -1..1. D. G. Bonett and R. M. Price, J. Educ. Behav. Statist. 37 (2012) 479: Wald's, after one image is added
        to each of the two counts: ``d ± z sqrt((p12 + p21 - d²) / (n + 2))``.

    Examples
    --------
    >>> [round(end, 4) for end in paired_interval(10, 2, 100)]
    [0.0082, 0.1487]
    """
    p12, p21 = (first_only + 1) / (total + 2), (second_only + 1) / (total + 2)
    difference = p12 - p21
    spread = z * math.sqrt((p12 + p21 - difference * difference) / (total + 2))
    return max(-1.0, difference - spread), min(1.0, difference + spread)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p values corrected for there being several, in their order.

    S. Holm, Scand. J. Statist. 6 (1979) 65: the i-th smallest of m times ``m - i`` (i from 0), never below a smaller
    one's, never above 1.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for i, place in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        highest = max(highest, min(1.0, (len(p_values) - i) * p_values[place]))
        corrected[place] = highest
    return tuple(corrected)
