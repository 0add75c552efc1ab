"""What the page's table, chart and comparison say of each network: one line of figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from caffezoo.report.cost_plot import cost_points
from caffezoo.report.published import Record
from caffezoo.report.time_series import TimeSeries, time_series
from caffezoo.report.zoo_data import ZooData

WEIGHTS_STATES = {
    "available": "available",
    "unknown": "not tried",
    "reported-dead": "reported dead",
    "never-published": "never published",
}
"""States of a source of weights, the best first, in the words of the page."""


MAX_SERIES = 3
"""So many published, and so many measured series of times are shown; those with most networks."""


@dataclass(frozen=True)
class Summary:
    """One network.

    Attributes
    ----------
    network, family, task, page : str
        ``page`` is the address of its own page, relative to the report's folder.
    classes, crop_size : int
        Crop size in px, of the small preset, at which ``macs`` and times are.
    top1_error, top5_error : float or None
        Percent, one crop at the small size.
    measured : bool
        The errors were measured with this package; else they are published.
    stated : bool
        The number of crops is known to be one.
    parameters, macs, depth : int
    size_mib : float
        Of the float32 values in a caffemodel.
    times : mapping of str to float
        Forward ms by the key of a series.
    weights : str
        Best state of its sources of weights: a key of ``WEIGHTS_STATES``.
    """

    network: str
    family: str
    task: str
    page: str
    classes: int
    crop_size: int
    top1_error: float | None
    top5_error: float | None
    measured: bool
    stated: bool
    parameters: int
    macs: int
    depth: int
    size_mib: float
    times: Mapping[str, float]
    weights: str


def page_address(network: str) -> str:
    """Return the address of a network's page; names may hold ``/``, and never hold ``~``."""
    return f"networks/{network.replace('/', '~')}.html"


def summaries(data: ZooData, series: Iterable[TimeSeries]) -> list[Summary]:
    """Return a summary of every network, in the order of the index.

    Raises
    ------
    ZooError
        A prototxt or a results file that cannot be.
    """
    series = list(series)
    errors = {top: {point.network: point for point in cost_points(data, "macs", top)} for top in (1, 5)}
    found = []
    for name, record in data.records.items():
        cost = data.costs[name]
        first, fifth = errors[1].get(name), errors[5].get(name)
        either = first or fifth
        found.append(
            Summary(
                network=name,
                family=str(record["family"]),
                task=str(record.get("task", "classification")),
                page=page_address(name),
                classes=record["labels"]["classes"],
                crop_size=record["preprocessing"]["small"]["crop_size"],
                top1_error=first.error if first else None,
                top5_error=fifth.error if fifth else None,
                measured=either is not None and either.measured,
                stated=either is not None and either.stated,
                parameters=cost["parameters"],
                macs=cost["macs"],
                depth=cost["depth"],
                size_mib=cost["blob_elements"] * 4 / 2**20,
                times={one.key: one.forward_ms[name] for one in series if name in one.forward_ms},
                weights=weights_state(record.get("weights") or ()),
            )
        )
    return found


def shown_series(data: ZooData) -> list[TimeSeries]:
    """Return the measured and the published series that the page shows."""
    series = time_series(data)
    return [one for ours in (True, False) for one in [s for s in series if s.measured is ours][:MAX_SERIES]]


def weights_state(weights: Iterable[Record]) -> str:
    """Return the best state of weights that belong to the published figures, or may do so."""
    states = {entry["state"] for entry in weights if entry.get("training", "same") != "other"}
    return next((state for state in WEIGHTS_STATES if state in states), "never-published")
