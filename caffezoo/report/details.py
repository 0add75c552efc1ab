"""Parts of runs in the results store: a row of one belongs to the run of a measurement, whose ``run`` it carries."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from caffezoo.report.row import Count, Number, Row, Spread, Text
from caffezoo.report.rows import AccuracyRow, Measured, TimeRow, TrainingRow


class Detail(Row):
    """A part of the run of a :class:`Measured` row, whose ``run`` it carries."""

    of: ClassVar[type[Measured]]

    @property
    def altered(self) -> bool:
        """Always False: ``run`` names the row that this belongs to."""
        return False


class LayerRow(Detail):
    """Time of one layer."""

    file = "layer_time.csv"
    of = TimeRow

    position: Number
    layer: Text
    layer_type: Text
    forward_ms: Spread | None = None
    backward_ms: Spread | None = None


class ConfusionRow(Detail):
    """Images of class ``label`` that the network took for class ``guess``; only where there are any."""

    file = "confusion.csv"
    of = AccuracyRow

    label: Number
    guess: Number
    images: Count


class CurveRow(Detail):
    """One value that a training printed.

    ``phase`` is train, test, or test with the test net's number above 0; a loss that is not finite is a value too.
    """

    file = "training_curve.csv"
    of = TrainingRow

    iteration: Number
    phase: Annotated[str, StringConstraints(pattern=r"^(train|test( #\d{1,3})?)$")]
    kind: Literal["loss", "metric", "learning_rate"]
    output: Text
    value: float


DETAILS: tuple[type[Detail], ...] = (LayerRow, ConfusionRow, CurveRow)
