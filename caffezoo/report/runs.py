"""Finds a run of the store together with its details."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from caffezoo.errors import DataError
from caffezoo.report.details import Detail
from caffezoo.report.rows import Measured
from caffezoo.zoo.index import Index

AnyMeasured = TypeVar("AnyMeasured", bound=Measured)
AnyDetail = TypeVar("AnyDetail", bound=Detail)


def runs_with_details(
    measured: Iterable[AnyMeasured], details: Iterable[AnyDetail]
) -> list[tuple[AnyMeasured, list[AnyDetail]]]:
    """Return the runs that have details with them, in the order of both."""
    by_run: defaultdict[str, list[AnyDetail]] = defaultdict(list)
    for detail in details:
        by_run[detail.run].append(detail)
    return [(row, by_run[row.run]) for row in measured if row.run in by_run]


def find_run(
    runs: Sequence[tuple[AnyMeasured, list[AnyDetail]]], index: Index, name: str, run: str | None, what: str
) -> tuple[AnyMeasured, list[AnyDetail]]:
    """Return the newest run of a network, or a named one, with its details.

    Parameters
    ----------
    runs : sequence of (row, details)
        Oldest first.
    index : Index
    name : str
        A network.
    run : str, optional
        The beginning of a run's name.
    what : str
        What the details are, for the message: "times of layers".

    Raises
    ------
    UnknownNameError
        No such network.
    DataError
        No such run with details, or several.
    """
    network = index.resolve(name)
    found = [one for one in runs if one[0].network == network and one[0].run.startswith(run or "")]
    if not found:
        which = f"run '{run}'" if run else "run"
        table = runs[0][0].file.removesuffix(".csv") if runs else ""
        raise DataError(
            f"no {which} with {what} in the store",
            where=f"network '{network}'",
            hint=f"`caffezoo results list {table}`" if table else "no run has any yet",
        )
    if run and len({row.run for row, _ in found}) > 1:
        raise DataError(f"run '{run}' is not clear: {len(found)} runs begin so", where=f"network '{network}'")
    return found[-1]
