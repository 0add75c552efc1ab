"""The values that an index file holds: numbers with their units and limits, sizes, colours, hashes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, StringConstraints, WithJsonSchema

from caffezoo.errors import UsageError
from caffezoo.formats.image_size import MAX_SIDE, Size

Count = Annotated[int, Field(strict=True, ge=1)]
Percent = Annotated[float, Field(strict=True, ge=0, le=100, description="percent")]
Milliseconds = Annotated[float, Field(strict=True, gt=0, description="milliseconds")]
Level = Annotated[float, Field(strict=True, ge=0, le=255)]
Spread = Annotated[float, Field(strict=True, gt=0)]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=80)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}(-\d\d(-\d\d)?)?$")]
SourceKey = Annotated[str, Field(description="a key of the file's `sources` table")]


def _sides(value: Any) -> int | str:
    pair = isinstance(value, str) and re.fullmatch(r"\d+x\d+", value)
    if not pair and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError("must be an integer, or height x width as 112x96")
    try:
        return Size.of(value).plain
    except UsageError as error:
        raise ValueError(error.message) from None


def _one_or_three(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) not in (1, 3):
        raise ValueError("must be three values, blue, green, red, or one for grey")
    return values


Sides = Annotated[
    int | str,
    PlainValidator(_sides),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_SIDE},
                {"type": "string", "pattern": r"^[1-9]\d{0,3}x[1-9]\d{0,3}$"},
            ],
            "description": "the side of a square, or height x width (`112x96`); pixels",
        }
    ),
]


def _levels_schema(item: dict[str, Any]) -> WithJsonSchema:
    lengths = [{"type": "array", "items": item, "minItems": n, "maxItems": n} for n in (3, 1)]
    return WithJsonSchema({"anyOf": lengths, "description": "blue, green, red, or one value for grey; 0..255"})


Mean = Annotated[
    tuple[Level, ...], AfterValidator(_one_or_three), _levels_schema({"type": "number", "minimum": 0, "maximum": 255})
]
Std = Annotated[
    tuple[Spread, ...], AfterValidator(_one_or_three), _levels_schema({"type": "number", "exclusiveMinimum": 0})
]


def _hex_digits(digits: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
            raise ValueError(f"must be {digits} hex digits in lower case, not {value[:100]!r}")
        return value

    return check


def _hash_schema(digits: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^[0-9a-f]{{{digits}}}$"})


Sha256 = Annotated[str, AfterValidator(_hex_digits(64)), _hash_schema(64)]
Sha384 = Annotated[str, AfterValidator(_hex_digits(96)), _hash_schema(96)]
Sha1 = Annotated[str, AfterValidator(_hex_digits(40)), _hash_schema(40)]
Md5 = Annotated[str, AfterValidator(_hex_digits(32)), _hash_schema(32)]
