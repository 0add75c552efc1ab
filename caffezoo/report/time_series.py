"""Forward times that compare: of one image at the small crop size, on one device in one way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from caffezoo.report.published import sizes, times_at
from caffezoo.report.rows import TimeRow
from caffezoo.report.zoo_data import ZooData


@dataclass(frozen=True)
class TimeSeries:
    """Forward times on one device in one way.

    Attributes
    ----------
    key : str
        A name that is unique among all series.
    title : str
        Device, or engine, precision, device and threads.
    engine : str or None
        In which this package measured; None where the times are published.
    forward_ms : mapping of str to float
        By network.
    """

    key: str
    title: str
    engine: str | None
    forward_ms: Mapping[str, float]

    @property
    def measured(self) -> bool:
        """With this package; else published."""
        return self.engine is not None


def setup(row: TimeRow) -> str:
    """Return what must be equal for times to compare: engine, precision, device and threads."""
    place = row.cpu if row.device.startswith("CPU") else row.device
    threads = f", {row.threads} threads" if row.threads else ""
    return f"{row.engine} {row.precision}, {place}{threads}"


def time_series(data: ZooData) -> list[TimeSeries]:
    """Return all series, measured ones first, and of each kind those with most networks first.

    Of several measurements of a network in one series the newest counts.
    """
    published: dict[str, dict[str, float]] = {}
    for name, record in data.records.items():
        for row in times_at(record, "small", ""):
            if "forward_ms" in row:
                published.setdefault(row["device"], {}).setdefault(name, row["forward_ms"])
    measured: dict[str, dict[str, float]] = {}
    engines: dict[str, str] = {}
    for own in data.time:
        small = sizes(data.records[own.network], "small")
        if small and own.forward_ms is not None and (own.batch_size, own.crop_size) == (1, small["crop_size"]):
            measured.setdefault(setup(own), {})[own.network] = own.forward_ms
            engines[setup(own)] = own.engine
    return [
        TimeSeries(f"{'measured' if ours else 'published'}{number}", title, engines.get(title), times)
        for ours, found in ((True, measured), (False, published))
        for number, (title, times) in enumerate(sorted(found.items(), key=lambda item: -len(item[1])))
    ]
