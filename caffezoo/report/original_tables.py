"""The two performance tables of the original zoo, soeaver/caffe-model, for the networks that its README has.

The README of this project shows these; what every network of the index has stands in ``docs/tables``.
"""

from __future__ import annotations

from caffezoo.report.accuracy_tables import error_cells, provenance_note
from caffezoo.report.cost_tables import device_notes, time_on_gpu, weights_cell
from caffezoo.report.published import PRESETS, SETTINGS, Record, accuracy_rows, sizes
from caffezoo.report.table import Cell, Column, Span, Table, cell, sentence
from caffezoo.report.time_tables import three_digits
from caffezoo.report.zoo_data import ZooData

ORIGINAL = "soeaver"
ENGINES = ("openvino", "caffe")


def original_errors_table(data: ZooData) -> Table:
    """Top-1/top-5 error of the original zoo's networks, with 1 and 12 crops at both sizes."""
    networks = original_networks(data)
    rows = tuple((cell(name), *error_cells(data, name, record)) for name, record in networks.items())
    return Table(
        "original-errors",
        "Top-1/top-5 error in percent on the validation images of ILSVRC2012, as published. Small and large: "
        "crops of 224 px of 256 and 320 of 320, for Inception and Xception 299 of 320 and 395 of 395.",
        (Column("network"), *(Column(str(s), number=True) for s in SETTINGS)),
        rows,
        (provenance_note(row[1:] for row in rows), *data.source_note([ORIGINAL])),
    )


def original_cost_table(data: ZooData) -> Table:
    """Time, size and download of the original zoo's networks."""
    networks = original_networks(data)
    rows = tuple(
        (
            cell(name),
            cell(data.costs[name]["macs"] / 1e9, 2),
            cell(data.costs[name]["blob_elements"] * 4 / 2**20, 1),
            *(time_on_gpu(record, preset) for preset in PRESETS),
            *_forward(data, name, record),
            weights_cell(record.get("weights") or (), most=1),
        )
        for name, record in networks.items()
    )
    cpus = sorted({row.cpu for row in data.time if row.engine in ENGINES and row.network in networks})
    measured = [sentence([f"CPU, in italics: measured with this package, on {' and '.join(cpus)}."])] if cpus else []
    return Table(
        "original-cost",
        "GMACs at the small size and MiB of float32 weights are computed. F/B: published forward/backward time of "
        "one image in ms. CPU: forward time of one image at the small size in ms, here and in real Caffe, of one run.",
        (
            Column("network"),
            Column("GMACs", number=True),
            Column("MiB", number=True),
            *(Column(f"F/B {preset}", number=True) for preset in PRESETS),
            Column("CPU", number=True),
            Column("CPU, Caffe", number=True),
            Column("weights"),
        ),
        rows,
        (
            *device_notes(data, networks.values()),
            *measured,
            sentence(["Weights: the first place of several. Not tried: whether it still answers is not known."]),
            *data.source_note([ORIGINAL]),
        ),
    )


def original_networks(data: ZooData) -> dict[str, Record]:
    """The networks that the original zoo's own tables have figures of, in the order of the index."""
    return {
        name: record
        for name, record in data.records.items()
        if any(row["source"] == ORIGINAL for row in accuracy_rows(record))
    }


def _forward(data: ZooData, name: str, record: Record) -> tuple[Cell, ...]:
    """The newest measured float32 forward time of one image at the small size, and real Caffe's of the same command.

    A machine's name does not tell how fast it is on the day: times of two runs are not held beside each other.
    """
    size = sizes(record, "small")
    wanted = (name, "float32", 1, size["crop_size"] if size is not None else None)
    rows = [row for row in data.time if (row.network, row.precision, row.batch_size, row.crop_size) == wanted]
    own, caffe = ([row for row in rows if row.engine == engine and row.forward_ms is not None] for engine in ENGINES)
    if own:
        caffe = [row for row in caffe if row.command == own[-1].command]
    newest = [found[-1].forward_ms if found else None for found in (own, caffe)]
    return tuple(() if ms is None else (Span(three_digits(ms), measured=True),) for ms in newest)
