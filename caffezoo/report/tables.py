"""The tables by name, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Callable

from caffezoo.errors import UnknownNameError
from caffezoo.report.accuracy_tables import (
    accuracy_table,
    applications_table,
    lite_table,
    measured_table,
)
from caffezoo.report.cost_tables import cost_table, preprocessing_table
from caffezoo.report.original_tables import original_cost_table, original_errors_table
from caffezoo.report.precision_tables import precision_differences_table, precision_table
from caffezoo.report.speed_tables import speed_all_table, speed_precision_table, speed_table
from caffezoo.report.table import Table
from caffezoo.report.time_tables import time_table
from caffezoo.report.zoo_data import ZooData

TABLES: dict[str, Callable[[ZooData], Table]] = {
    "original-errors": original_errors_table,
    "original-cost": original_cost_table,
    "accuracy": accuracy_table,
    "cost": cost_table,
    "preprocessing": preprocessing_table,
    "time": time_table,
    "lite": lite_table,
    "applications": applications_table,
    "measured": measured_table,
    "precision": precision_table,
    "precision-differences": precision_differences_table,
    "speed": speed_table,
    "speed-all": speed_all_table,
    "speed-precision": speed_precision_table,
}


def make_table(name: str, data: ZooData) -> Table:
    """Return a table.

    Raises
    ------
    UnknownNameError
        No such table.
    ZooError
        A prototxt or a results file that cannot be.
    """
    if name not in TABLES:
        raise UnknownNameError("table", name, TABLES)
    return TABLES[name](data)
