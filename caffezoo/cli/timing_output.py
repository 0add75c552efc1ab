"""How times are printed: in the shape of ``caffe time``, as one line a network, as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffezoo.cli.console import shown

if TYPE_CHECKING:
    from caffezoo.timing.clock import Spread
    from caffezoo.timing.measurement import Measurement


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
