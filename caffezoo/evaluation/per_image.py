"""What became of every image, as a table: CSV or Parquet by the file's ending."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.outcomes import TOP
from caffezoo.evaluation.runs.folder import Run
from caffezoo.evaluation.runs.scoring import Subject

ENDINGS = (".csv", ".parquet")
ROWS_AT_ONCE = 1024


def check_ending(file: Path) -> None:
    """Refuse, before anything runs, a file that would be neither CSV nor Parquet."""
    if file.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"'{file.suffix}' is no table that can be written", where=str(file), hint="use .csv or .parquet"
        )


def columns(subject: Subject) -> list[str]:
    """Return the columns: a rank for each label set, and the most probable classes with their probabilities."""
    ranks = ["rank", *(f"rank_{one.name}" for one in subject.label_sets[1:])]
    tops = [name for k in range(1, TOP + 1) for name in (f"class_{k}", f"probability_{k}")]
    return ["network", "protocol", "image", "label", *ranks, *tops, "unreadable"]


def rows(subject: Subject, run: Run) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run, in the order of the images; a rank of 0 is right, None does not count."""
    names = columns(subject)
    ranks = [name for name in names if name.startswith("rank")]
    for index, outcome in run.outcomes():
        image = subject.dataset.images[index]
        row: dict[str, Any] = dict.fromkeys(names)
        row |= {
            "network": subject.classifier.recipe.name,
            "protocol": subject.classifier.protocol.name,
            "image": image.path,
            "label": image.label,
            "unreadable": outcome.reason,
        }
        row |= dict(zip(ranks, outcome.ranks, strict=False))
        for k, (best, probability) in enumerate(zip(outcome.top, outcome.probabilities, strict=True), 1):
            row[f"class_{k}"], row[f"probability_{k}"] = best, probability
        yield row


def write_per_image(file: Path, parts: list[tuple[Subject, Run]]) -> None:
    """Write the rows of runs to one file.

    Raises
    ------
    UsageError
        Another ending, or pyarrow is not installed.
    DataError
        The file cannot be written.
    """
    check_ending(file)
    found = (row for subject, run in parts for row in rows(subject, run))
    names = columns(parts[0][0])
    part = file.with_name(f"{file.name}.part")
    try:
        if file.suffix.lower() == ".csv":
            with part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
                writer = csv.DictWriter(stream, names, lineterminator="\n")
                writer.writeheader()
                writer.writerows(found)
        else:
            _write_parquet(part, names, found)
        os.replace(part, file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"cannot be written: {error.strerror}", where=str(file)) from None


def _write_parquet(file: Path, names: list[str], found: Iterator[dict[str, Any]]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("writing Parquet needs the package pyarrow", hint="pip install 'caffezoo[parquet]'") from None
    types = {"label": pyarrow.int32()}
    for name in names:
        if name.startswith(("rank", "class_")):
            types[name] = pyarrow.int32()
        elif name.startswith("probability_"):
            types[name] = pyarrow.float64()
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in names])
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in found:
            batch.append(row)
            if len(batch) == ROWS_AT_ONCE:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))
                batch = []
        if batch:
            writer.write_table(pyarrow.Table.from_pylist(batch, schema))
