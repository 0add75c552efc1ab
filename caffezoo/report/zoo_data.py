"""What tables and plots are made from: the index's plain data, computed costs, and the store's good rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from caffezoo.errors import ZooError
from caffezoo.report.costs import network_costs
from caffezoo.report.details import ConfusionRow, CurveRow, LayerRow
from caffezoo.report.published import Record
from caffezoo.report.rows import AccuracyRow, Measured, PrecisionRow, SpeedRow, TimeRow, TrainingRow
from caffezoo.report.store import Store
from caffezoo.report.table import Cell, Span
from caffezoo.zoo.index import Index
from caffezoo.zoo.resources import data_root

IMAGENET_CLASSES = 1000
AnyMeasured = TypeVar("AnyMeasured", bound=Measured)


class ZooData:
    """Everything that is known of the networks, read when it is first asked for.

    Parameters
    ----------
    index : Index
    store : Store
    progress : callable, optional
        Called with (done, all) before each network whose cost is not in the cache.
    """

    def __init__(self, index: Index, store: Store, progress: Callable[[int, int], None] | None = None) -> None:
        self.index = index
        self.store = store
        self._progress = progress

    @cached_property
    def records(self) -> dict[str, Record]:
        """Plain data of every network, in the order of the index."""
        return {name: self.index.record(name) for name in self.index}

    @property
    def imagenet(self) -> dict[str, Record]:
        """The networks of ImageNet's thousand classes."""
        return {n: record for n, record in self.records.items() if record["labels"]["classes"] == IMAGENET_CLASSES}

    @cached_property
    def costs(self) -> Mapping[str, Mapping[str, int]]:
        """Cost of every network at its small crop size; see :func:`caffezoo.report.costs.network_costs`.

        Raises
        ------
        ZooError
            A prototxt that cannot be counted.
        """
        root = data_root()
        wanted: dict[str, tuple[Path, int]] = {
            name: (root / record["prototxt"], record["preprocessing"]["small"]["crop_size"])
            for name, record in self.records.items()
        }
        found = network_costs(dict.fromkeys(wanted.values()), self._progress)
        costs: dict[str, Mapping[str, int]] = {}
        for name, item in wanted.items():
            cost = found[item]
            if isinstance(cost, ZooError):
                raise cost
            costs[name] = cost
        return costs

    def _known(self, rows: Iterable[AnyMeasured]) -> tuple[AnyMeasured, ...]:
        return tuple(sorted((row for row in rows if row.network in self.index), key=lambda row: row.date))

    @cached_property
    def accuracy(self) -> tuple[AccuracyRow, ...]:
        """Good rows of networks that the index has, newest last."""
        return self._known(self.store.accuracy().rows)

    @cached_property
    def time(self) -> tuple[TimeRow, ...]:
        """Good rows of networks that the index has, newest last."""
        return self._known(self.store.time().rows)

    @cached_property
    def speed(self) -> tuple[SpeedRow, ...]:
        """Good rows of networks that the index has, newest last."""
        return self._known(self.store.speed().rows)

    @cached_property
    def precision(self) -> tuple[PrecisionRow, ...]:
        """Good rows of networks that the index has, newest last."""
        return self._known(self.store.precision().rows)

    @cached_property
    def training(self) -> tuple[TrainingRow, ...]:
        """Good rows of networks that the index has, newest last."""
        return self._known(self.store.training().rows)

    @cached_property
    def confusion(self) -> tuple[ConfusionRow, ...]:
        """Which class was taken for which in evaluations."""
        return self.store.confusion().rows

    @cached_property
    def curves(self) -> tuple[CurveRow, ...]:
        """Losses and other values of trainings."""
        return self.store.curves().rows

    @cached_property
    def layers(self) -> tuple[LayerRow, ...]:
        """Layers of timed runs."""
        return self.store.layers().rows

    def source_note(self, keys: list[str | None]) -> list[Cell]:
        """A note that says what the keys of published sources mean, in the order of first use."""
        spans: list[Span] = []
        for key in dict.fromkeys(k for k in keys if k):
            source = self.index.sources[key]
            spans += [Span(";"), Span(f"{key} ="), Span(source["title"], source.get("url"))]
        return [(Span("Published by:"), *spans[1:])] if spans else []
