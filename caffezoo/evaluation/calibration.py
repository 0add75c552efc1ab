"""Whether a network is as sure as it is right: reliability and expected calibration error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from caffezoo.errors import DataError

BINS = 15
"""As in Guo et al., "On Calibration of Modern Neural Networks", arXiv 1706.04599."""


@dataclass(frozen=True)
class Bin:
    """Images whose top-1 probability lies in (``low``, ``high``]; the first bin holds 0 as well.

    Attributes
    ----------
    low, high : float
    images : int
    confidence : float
        Mean top-1 probability; 0 for an empty bin.
    accuracy : float
        Share that is right; 0 for an empty bin.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Reliability in bins of equal width."""

    bins: tuple[Bin, ...]

    @property
    def images(self) -> int:
        return sum(b.images for b in self.bins)

    @property
    def expected_error(self) -> float:
        """Expected calibration error, 0..1: the mean over images of |confidence - accuracy| of their bin."""
        return sum(b.images * abs(b.confidence - b.accuracy) for b in self.bins) / self.images

    @property
    def largest_error(self) -> float:
        """The largest |confidence - accuracy| of a bin that holds images, 0..1."""
        return max(abs(b.confidence - b.accuracy) for b in self.bins if b.images)


class CalibrationCounter:
    """Bins images as they come, by how sure the network was; in the same order, the same to the last bit."""

    def __init__(self, bins: int = BINS) -> None:
        self._counts, self._sums, self._right = [0] * bins, [0.0] * bins, [0] * bins

    def add(self, probability: float, right: bool) -> None:
        """Count an image by its top-1 probability.

        Raises
        ------
        DataError
            It is no probability.
        """
        if not -1e-6 <= probability <= 1 + 1e-6:
            raise DataError(
                f"{probability} is no probability", hint="calibration is for networks that end in a Softmax"
            )
        bins = len(self._counts)
        place = next((i for i in range(bins) if probability <= (i + 1) / bins), bins - 1)
        self._counts[place] += 1
        self._sums[place] += probability
        self._right[place] += right

    def result(self) -> Calibration:
        """Return the bins.

        Raises
        ------
        DataError
            No image was counted.
        """
        if not any(self._counts):
            raise DataError("no image to calibrate with")
        bins = len(self._counts)
        return Calibration(
            tuple(
                Bin(i / bins, (i + 1) / bins, n, s / n if n else 0.0, r / n if n else 0.0)
                for i, (n, s, r) in enumerate(zip(self._counts, self._sums, self._right, strict=True))
            )
        )


def calibration(images: Iterable[tuple[float, bool]], bins: int = BINS) -> Calibration:
    """Bin images, each a top-1 probability 0..1 and whether it was right.

    Raises
    ------
    DataError
        No image, or a probability that is none.
    """
    counter = CalibrationCounter(bins)
    for probability, right in images:
        counter.add(probability, right)
    return counter.result()
