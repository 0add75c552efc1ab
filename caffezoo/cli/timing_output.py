"""How times are printed and kept: in the shape of ``caffe time``, as one line a network, as CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from caffezoo.cli.command import given_command
from caffezoo.cli.console import say, shown
from caffezoo.cli.network_arguments import short_note
from caffezoo.cli.results import writable_store
from caffezoo.errors import ZooError

if TYPE_CHECKING:
    from caffezoo.report.rows import TimeRow
    from caffezoo.report.store import Store
    from caffezoo.timing.clock import Spread
    from caffezoo.timing.measurement import Measurement
    from caffezoo.timing.networks import Job
    from caffezoo.timing.subjects import Settings


class TimingOutput:
    """Prints what is measured as it comes, and keeps it in the store."""

    def __init__(
        self, as_json: bool, as_csv: bool, record: bool, results: Path | None, max_spread: float | None
    ) -> None:
        self.as_json = as_json
        self.as_csv = as_csv
        self._max_spread = None if max_spread is None else max_spread / 100
        self.skipped = 0
        self._measured: list[Measurement] = []
        self._store: Store | None = None
        self._rows: tuple[TimeRow, ...] = ()
        self._notes: dict[Path, tuple[str, ...]] = {}
        if record:
            self._store = writable_store(results)
            self._rows = self._store.time().rows

    def holds(self, job: Job, settings: Settings) -> bool:
        """Tell whether the store has this measurement already."""
        if not self._rows:
            return False
        from caffezoo.report.provenance import cpu_name
        from caffezoo.timing.networks import input_size
        from caffezoo.timing.session import is_measured

        size = (job.crop_size or input_size(job.options.load(job.prototxt))).plain
        found = is_measured(self._rows, job, size, settings, cpu_name(), self._max_spread)
        self.skipped += found
        return found

    def notes(self, job: Job) -> tuple[str, ...]:
        """Return what the user has to know of a job's prototxt, and keep it for the records."""
        if job.prototxt not in self._notes:
            try:
                self._notes[job.prototxt] = job.options.load(job.prototxt).notes
            except ZooError:  # told when it is measured
                self._notes[job.prototxt] = ()
        return self._notes[job.prototxt]

    def take(self, job: Job, measured: Sequence[Measurement]) -> None:
        from caffezoo.report.provenance import provenance
        from caffezoo.report.records import record_rows

        for m in measured:
            self._measured.append(m)
            note = short_note([*filter(None, [m.note]), *self.notes(job)], job.prototxt)
            full = {**m.to_record(), "notes": list(self.notes(job)), "note": note, **provenance(given_command())}
            if self._store is not None:
                self._store.append(record_rows(full, f"network '{m.network}'"))
            if self.as_json:
                print(json.dumps(full), flush=True)
            elif not self.as_csv and m.layers:
                print_table(m)
            if m.doubt:
                say("warning", f"{m.network}, {m.engine}: {m.doubt}")

    def finish(self) -> None:
        if self.as_csv:
            print_csv(self._measured)
        elif not self.as_json and self._measured and (len(self._measured) > 1 or not self._measured[0].layers):
            print_summary(self._measured)
        if self.skipped:
            print(f"caffezoo: {self.skipped} measurements were in the store already", file=sys.stderr)


def print_table(m: Measurement) -> None:
    """Print one measurement as ``caffe time`` does, without glog's prefix."""
    threads = f", {m.threads} threads" if m.threads else ""
    memory = f", peak {m.memory_peak_bytes / 2**20:.0f} MiB" if m.memory_peak_bytes else ""
    runs_on = f"{m.engine} {m.version}, {m.device}, {m.precision}{threads}{memory}"
    print(f"{shown(m.network)}, {m.crop_size} px, batch {m.batch_size}: {runs_on}")
    kind = "Average" if m.note else "Median"
    print(f"{kind} time per layer:")
    for layer in m.layers:
        print(f"{shown(layer.layer):>10}\tforward: {layer.forward_ms:.6g} ms.")
        if layer.backward_ms is not None:
            print(f"{shown(layer.layer):>10}\tbackward: {layer.backward_ms:.6g} ms.")
    for name, spread in (("Forward pass", m.forward), ("Backward pass", m.backward)):
        if spread is not None:
            print(f"{kind} {name}: {_with_spread(spread)}")
    if m.forward and m.backward:
        print(f"{kind} Forward-Backward: {m.total_ms:.6g} ms.")
    if m.disagreement is not None:
        print(f"Layers sum up to {m.layer_sum_ms:.6g} ms ({m.disagreement:+.1%}).")
    if m.note:
        print(f"Note: {m.note}.")
    print()


def print_summary(measured: Sequence[Measurement]) -> None:
    """Print one line a measurement."""
    from caffezoo.cli.text_table import print_table

    numbers = ("px", "batch", "threads", "forward ms", "p90 ms", "backward ms", "spread", "runs", "MiB")
    rows = []
    for m in measured:
        spreads = [s for s in (m.forward, m.backward) if s is not None]
        row = (
            m.network,
            m.engine,
            m.device,
            str(m.crop_size),
            str(m.batch_size),
            str(m.threads or ".."),
            f"{m.forward.median_ms:.2f}" if m.forward else "..",
            f"{m.forward.p90_ms:.2f}" if m.forward and m.forward.p90_ms else "..",
            f"{m.backward.median_ms:.2f}" if m.backward else "..",
            f"{max(s.spread_ms / (s.median_ms or 1) for s in spreads):.0%}",
            str(spreads[0].count),
            f"{m.memory_peak_bytes / 2**20:.0f}" if m.memory_peak_bytes else "..",
        )
        rows.append(row)
    print_table(("network", "engine", "device", *numbers), rows, right=numbers)


def print_csv(measured: Sequence[Measurement]) -> None:
    """Print a line a layer, and one for the whole network with an empty layer."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    columns = "network engine device precision threads crop_size batch_size layer layer_type forward_ms backward_ms"
    writer.writerow(columns.split())
    for m in measured:
        setting = [m.network, m.engine, m.device, m.precision, m.threads, m.crop_size, m.batch_size]
        whole = [s.median_ms if s else "" for s in (m.forward, m.backward)]
        writer.writerow([*setting, "", "", *whole])
        for x in m.layers:
            times = [f"{x.forward_ms:.6g}", "" if x.backward_ms is None else f"{x.backward_ms:.6g}"]
            writer.writerow([*setting, x.layer, x.layer_type, *times])


def _with_spread(spread: Spread) -> str:
    if not spread.spread_ms:
        return f"{spread.median_ms:.6g} ms."
    tail = f", 90 % within {spread.p90_ms:.4g} ms, 99 % within {spread.p99_ms:.4g} ms" if spread.p90_ms else ""
    return f"{spread.median_ms:.6g} ms. (spread {spread.spread_ms:.3g} ms, {spread.count} runs{tail})"
