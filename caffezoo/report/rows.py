"""Rows of the results store: one model a file, whose fields are the file's columns.

Errors are in percent, times in milliseconds for a whole batch, sizes in px, memory in bytes; hashes are SHA-256. A
mean or std is three numbers, blue green red, separated by blanks; versions are ``name=version`` pairs separated by
blanks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from caffezoo.errors import ResultsError

SCHEMA = 1
"""Version of the columns; a change of any of them makes a new one."""

MAX_CELL = 2000

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CELL)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Pairs = Annotated[str, StringConstraints(pattern=r"^\S+=\S+( \S+=\S+)*$", max_length=MAX_CELL)]


def _three_numbers(value: str) -> str:
    if not re.fullmatch(r"-?[\d.e+-]+( -?[\d.e+-]+){2}", value):
        raise ValueError("must be three numbers, blue green red")
    for number in value.split():
        float(number)
    return value


Triple = Annotated[str, AfterValidator(_three_numbers)]


class Row(BaseModel):
    """One row; frozen, and refuses columns that it does not know.

    ``run`` is the first twelve hex digits of the hash over all other cells: it names the row, and a row that was
    changed by hand no longer has it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: ClassVar[str]

    run: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]

    @classmethod
    def columns(cls) -> list[str]:
        """Names of the file's columns, in order."""
        return ["schema", *cls.model_fields]

    @classmethod
    def make(cls, values: Mapping[str, object], where: str) -> Self:
        """Check values, bring texts to one line, and give the row its ``run``.

        Raises
        ------
        ResultsError
            The first value that cannot be.
        """
        named = "run" in values  # rows of layers carry the name of the run that they belong to
        one_line = {name: " ".join(v.split()) if isinstance(v, str) else v for name, v in values.items()}
        row = cls._checked({"run": "0" * 12, **one_line}, where)
        return row if named else row.model_copy(update={"run": row.fingerprint})

    @classmethod
    def from_cells(cls, cells: Mapping[str, str], where: str) -> Self:
        """Read a row of the file; an empty cell is a value that is not there.

        Raises
        ------
        ResultsError
            Another schema, or the first value that cannot be.
        """
        found = {name: value for name, value in cells.items() if value != ""}
        schema = found.pop("schema", "")
        if schema != str(SCHEMA):
            raise ResultsError(f"schema: {schema[:20]!r} is not {SCHEMA}", where=where, hint="use a newer caffezoo")
        row = cls._checked(found, where)
        if row.altered:
            raise ResultsError(
                f"run: is {row.run}, but the row's content makes {row.fingerprint}",
                where=where,
                hint="the row was changed after it was measured",
            )
        return row

    @classmethod
    def _checked(cls, values: Mapping[str, object], where: str) -> Self:
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            column = ".".join(map(str, first["loc"])) or "row"
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            given = "" if first["type"] == "missing" else f", not {str(first['input'])[:60]!r}"
            raise ResultsError(f"{column}: {first['msg']}{given}{more}", where=where) from None

    def cells(self) -> list[str]:
        """Text of every cell; floats as the shortest text that reads back to the same number."""
        return [str(SCHEMA), *("" if value is None else str(value) for _, value in self)]

    @property
    def fingerprint(self) -> str:
        """What ``run`` is for this content."""
        content = {name: value for name, value in self.model_dump().items() if name != "run"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def altered(self) -> bool:
        return self.run != self.fingerprint


class Measured(Row):
    """What every measurement is of, and where, how and when it was made."""

    date: Moment
    network: Text


class AccuracyRow(Measured):
    """Error rates of one evaluation, with 95 % intervals."""

    file = "accuracy.csv"

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
    base_size: Count
    crop_size: Count
    resize: Text
    mean: Triple
    std: Triple
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

    crop_size: Count
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


class LayerRow(Row):
    """Time of one layer in the run of a :class:`TimeRow`."""

    file = "layer_time.csv"

    position: Number
    layer: Text
    layer_type: Text
    forward_ms: Spread | None = None
    backward_ms: Spread | None = None

    @property
    def altered(self) -> bool:
        """Always False: ``run`` names the row of ``time.csv`` that this layer belongs to."""
        return False
