"""Rows of the results store: one model a file, whose fields are the file's columns.

Errors are in percent, times in milliseconds for a whole batch, sizes in px, memory in bytes; hashes are SHA-256. A
mean or std is three numbers, blue green red, separated by blanks (one for grey); versions are ``name=version`` pairs
separated by blanks. :mod:`caffezoo.report.details` has the parts of their runs.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import StringConstraints, model_validator

from caffezoo.report.row import (
    Count,
    Levels,
    Milliseconds,
    Moment,
    Number,
    Pairs,
    Percent,
    Points,
    Rate,
    Row,
    Sha256,
    Share,
    Side,
    Spread,
    Text,
)


class Measured(Row):
    """What every measurement is of, and where, how and when it was made."""

    date: Moment
    network: Text


class AccuracyRow(Measured):
    """Error rates of one evaluation, with 95 % intervals.

    ``protocol`` is :attr:`caffezoo.evaluation.protocol.Protocol.name`; ``labels`` names the label set, where it is not
    the data's own, and ``class_subset`` counts the classes that took part, where not all did.
    """

    file = "accuracy.csv"
    later = dict.fromkeys(("protocol", "labels", "class_subset"), 2)

    top1_error: Percent
    top1_low: Percent
    top1_high: Percent
    top5_error: Percent | None = None
    top5_low: Percent | None = None
    top5_high: Percent | None = None
    images: Count
    unreadable: Number
    classes: Count
    crops: Count
    base_size: Side
    crop_size: Side
    resize: Text
    mean: Levels
    std: Levels
    channel_order: Text
    decoder: Text
    resizer: Text
    engine: Text
    device: Text
    cpu: Text
    precision: Text
    threads: Number
    batch_size: Count
    images_per_second: Milliseconds
    seconds: Milliseconds
    data: Text
    label_list: Text
    prototxt_sha256: Sha256
    weights_sha256: Sha256
    label_list_sha256: Sha256 | None = None
    images_sha256: Sha256
    versions: Pairs
    command: Text
    note: Text | None = None
    protocol: Text | None = None
    labels: Text | None = None
    class_subset: Count | None = None

    @property
    def protocol_name(self) -> str:
        """The protocol's name; that of the published kind with these sizes, where the row is older than the column."""
        return self.protocol or self.published_protocol

    @property
    def published_protocol(self) -> str:
        """What the published protocol with this row's crops and sizes is called."""
        squash = "" if self.resize == "short" else f" {self.resize}"
        return f"{self.crops} crop{'s' * (self.crops > 1)} {self.base_size}/{self.crop_size}{squash}"

    @model_validator(mode="after")
    def _columns_of_their_time(self) -> Self:
        if self.protocol is None and (self.labels is not None or self.class_subset is not None):
            raise ValueError("a label set or a subset of classes wants the protocol's name")
        return self

    @model_validator(mode="after")
    def _intervals_hold(self) -> Self:
        for top, low, error, high in (
            (1, self.top1_low, self.top1_error, self.top1_high),
            (5, self.top5_low, self.top5_error, self.top5_high),
        ):
            if (low is None) != (error is None) or (high is None) != (error is None):
                raise ValueError(f"top-{top} error and its interval belong together")
            if low is not None and error is not None and high is not None and not low <= error <= high:
                raise ValueError(f"top-{top} error {error} is not in its interval {low}..{high}")
        return self


class TimeRow(Measured):
    """Time of one whole network, medians over the iterations."""

    file = "time.csv"

    crop_size: Side
    batch_size: Count
    forward_ms: Milliseconds | None = None
    forward_spread_ms: Spread | None = None
    backward_ms: Milliseconds | None = None
    backward_spread_ms: Spread | None = None
    iterations: Count
    memory_peak_bytes: Count | None = None
    engine: Text
    device: Text
    cpu: Text
    precision: Text
    threads: Number
    prototxt_sha256: Sha256
    weights_sha256: Sha256 | None = None
    versions: Pairs
    command: Text
    note: Text | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.forward_ms is None and self.backward_ms is None:
            raise ValueError("needs forward_ms or backward_ms")
        return self


class SpeedRow(Measured):
    """One figure of a benchmark: engines in turns, a process each, on a machine that does nothing else.

    Rows of one ``session`` were measured in the same turns, so that their ratios hold.
    """

    file = "speed.csv"

    session: Moment
    benchmark: Annotated[str, StringConstraints(pattern=r"^[a-z-]+$")]
    what: Text
    crop_size: Side
    batch_size: Count
    engine: Text
    precision: Text
    milliseconds: Milliseconds
    spread_ms: Spread | None = None
    lowest_block_ms: Milliseconds | None = None
    highest_block_ms: Milliseconds | None = None
    calls: Count
    blocks: Count
    memory_peak_bytes: Count | None = None
    threads: Number
    device: Text
    cpu: Text
    cores: Count
    instructions: Text | None = None
    prototxt_sha256: Sha256
    versions: Pairs
    command: Text
    note: Text | None = None


class PrecisionRow(Measured):
    """One precision of a network on the images of a study, against the first precision of its ``session`` as pairs.

    Differences are points of error, this one's minus the first's, with paired 95 % intervals and the exact p of
    McNemar's test; the first row has none. Of ``seeded`` weights only the agreement with the first's answers counts.
    """

    file = "precision.csv"

    session: Moment
    precision: Text
    against: Text
    weights: Literal["trained", "seeded"]
    top1_error: Percent | None = None
    top1_low: Percent | None = None
    top1_high: Percent | None = None
    top1_difference: Points | None = None
    top1_difference_low: Points | None = None
    top1_difference_high: Points | None = None
    top1_p: Share | None = None
    top5_error: Percent | None = None
    top5_difference: Points | None = None
    top5_p: Share | None = None
    agreement: Percent
    largest_score_difference: Spread
    images: Count
    protocol: Text
    mean: Levels
    std: Levels
    channel_order: Text
    calibration: Text | None = None
    calibration_images: Count | None = None
    kept: Text | None = None
    weight_bytes: Count
    images_per_second: Milliseconds
    engine: Text
    device: Text
    cpu: Text
    data: Text
    prototxt_sha256: Sha256
    weights_sha256: Sha256
    images_sha256: Sha256
    versions: Pairs
    command: Text

    @model_validator(mode="after")
    def _is_paired(self) -> Self:
        paired = (self.top1_difference, self.top1_difference_low, self.top1_difference_high, self.top1_p)
        if len({value is None for value in paired}) > 1:
            raise ValueError("a difference, its interval and its p belong together")
        if (self.weights == "seeded") != (self.top1_error is None):
            raise ValueError("seeded weights have no error, trained ones have")
        if self.precision == self.against and (self.top1_difference is not None or self.agreement != 100):
            raise ValueError("the first precision is compared with nothing")
        return self


class TrainingRow(Measured):
    """One training, as far as it went; what its log does not tell is left out."""

    file = "training.csv"

    iterations: Number
    final_loss: float | None = None
    max_iterations: Count | None = None
    solver: Text | None = None
    learning_rate: Rate | None = None
    engine: Text
    device: Text
    cpu: Text | None = None
    precision: Text
    data: Text | None = None
    prototxt_sha256: Sha256 | None = None
    log_sha256: Sha256 | None = None
    versions: Pairs | None = None
    command: Text | None = None
    note: Text | None = None


MEASURED: tuple[type[Measured], ...] = (AccuracyRow, TimeRow, SpeedRow, PrecisionRow, TrainingRow)
