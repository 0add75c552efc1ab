"""What all rows of the results store share: their types of cells, how they are read, checked, named and written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from caffezoo.errors import ResultsError

MAX_CELL = 2000

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Points = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]
Side = Count | Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}x[1-9]\d{0,3}$")]
"""Of a square in px; height x width where it is none."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CELL)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Pairs = Annotated[str, StringConstraints(pattern=r"^\S+=\S+( \S+=\S+)*$", max_length=MAX_CELL)]


def _one_or_three_numbers(value: str) -> str:
    if not re.fullmatch(r"-?[\d.e+-]+(( -?[\d.e+-]+){2})?", value):
        raise ValueError("must be three numbers, blue green red, or one for grey")
    for number in value.split():
        float(number)
    return value


Levels = Annotated[str, AfterValidator(_one_or_three_numbers)]


class Row(BaseModel):
    """One row; frozen, and refuses columns that it does not know.

    ``run`` is the first twelve hex digits of the hash over all other cells: it names the row, and a row that was
    changed by hand no longer has it. A row without values in later columns is one of the schema before them, so that
    its hash stays what it was.

    Attributes
    ----------
    later : mapping of str to int
        Columns that were added behind the first ones, with the version of the columns that each came with; a class's
        own version is the highest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: ClassVar[str]
    later: ClassVar[Mapping[str, int]] = {}

    run: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]

    @classmethod
    def newest_schema(cls) -> int:
        """Version of the columns."""
        return max(cls.later.values(), default=1)

    @classmethod
    def columns(cls, schema: int | None = None) -> list[str]:
        """Names of the file's columns, in order; those of an earlier version where it is given."""
        highest = cls.newest_schema() if schema is None else schema
        return ["schema", *(name for name in cls.model_fields if cls.later.get(name, 1) <= highest)]

    @property
    def schema_version(self) -> int:
        """The version of the columns that hold all of this row."""
        return max((n for name, n in self.later.items() if getattr(self, name) is not None), default=1)

    @classmethod
    def make(cls, values: Mapping[str, object], where: str) -> Self:
        """Check values, bring texts to one line, and give the row its ``run``.

        Raises
        ------
        ResultsError
            The first value that cannot be.
        """
        named = "run" in values  # a detail carries the name of the run that it belongs to
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
        known = range(1, cls.newest_schema() + 1)
        if schema not in map(str, known):
            versions = " or ".join(map(str, known))
            raise ResultsError(f"schema: {schema[:20]!r} is not {versions}", where=where, hint="use a newer caffezoo")
        row = cls._checked(found, where)
        if row.schema_version != int(schema):
            raise ResultsError(f"schema: is {schema}, but the columns make it {row.schema_version}", where=where)
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
        return [str(self.schema_version), *("" if value is None else str(value) for _, value in self)]

    @property
    def fingerprint(self) -> str:
        """What ``run`` is for this content."""
        columns = self.columns(self.schema_version)
        content = {name: value for name, value in self.model_dump().items() if name in columns and name != "run"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def altered(self) -> bool:
        return self.run != self.fingerprint
