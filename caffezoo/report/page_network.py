"""What the page of one network shows besides its graph: sources, published and measured figures, curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from caffezoo.report.accuracy_tables import measured_table
from caffezoo.report.crop_plot import crop_curves
from caffezoo.report.details import LayerRow
from caffezoo.report.page_charts import Json, curve_data, layer_data
from caffezoo.report.page_summary import WEIGHTS_STATES
from caffezoo.report.published import Record, accuracy_rows, error_percent, time_rows
from caffezoo.report.rows import TimeRow
from caffezoo.report.runs import runs_with_details
from caffezoo.report.table import NOTHING, Cell, Column, Span, Table, cell, to_html
from caffezoo.report.time_series import setup
from caffezoo.report.time_tables import timed_runs_table
from caffezoo.report.zoo_data import ZooData

_SCHEMES = {
    "gdrive": "Google Drive",
    "https": "web",
    "hf": "Hugging Face",
    "pypi": "PyPI",
    "npm": "npm",
    "file": "file",
    "baidu": "Baidu",
}
_TRAINING = {"other": "trained apart from the published figures", "unknown": "not known whether the published ones"}
_LAYOUTS = {
    "training-net": "holds layers of training too",
    "merged-batchnorm": "batch norm folded in: needs its own net",
}
_HASHES = ("sha256", "sha384", "sha1", "md5", "sha256_prefix")


@dataclass(frozen=True)
class LayerTimes:
    """Times of layers in one run, by the layer's name."""

    run: TimeRow
    layers: tuple[LayerRow, ...]

    @property
    def title(self) -> str:
        """How they were measured."""
        batch = f", batch {self.run.batch_size}" if self.run.batch_size > 1 else ""
        return f"{setup(self.run)}, {self.run.crop_size} px{batch}"

    @property
    def passes(self) -> list[str]:
        """``forward``, ``backward`` or both."""
        return [p for p in ("forward", "backward") if any(getattr(x, f"{p}_ms") is not None for x in self.layers)]

    @cached_property
    def by_name(self) -> dict[str, LayerRow]:
        return {layer.layer: layer for layer in self.layers}


class NetworkPages:
    """Everything of all networks' pages that comes from the index and the store.

    Parameters
    ----------
    data : ZooData
    """

    def __init__(self, data: ZooData) -> None:
        self.data = data

    @cached_property
    def _measured(self) -> tuple[Table, Table]:
        return measured_table(self.data), timed_runs_table(self.data)

    def sources(self, name: str) -> str:
        """HTML table of the places that weights are, were, or never were, in the order of the index."""
        rows = [self._weights_row(entry) for entry in self.data.records[name].get("weights") or ()]
        titles = "state|where|format|bytes|checksum|licence|what is known|said by"
        columns = tuple(Column(title, number=title == "bytes") for title in titles.split("|"))
        return to_html(Table("sources", "Sources of weights, in order of trust.", columns, tuple(rows)))

    def published(self, name: str) -> list[str]:
        """HTML tables of published errors and times; none where nothing was published."""
        record = self.data.records[name]
        tables = []
        if errors := accuracy_rows(record):
            titles = "top-1 error %|top-5 error %|crops|base/crop px|protocol|source"
            rows = tuple(
                (
                    *(cell(error_percent(row, top), 2) for top in (1, 5)),
                    cell(row.get("crops")),
                    cell(f"{row.get('base_size', NOTHING)}/{row.get('crop_size', NOTHING)}"),
                    cell(row.get("protocol")),
                    self._source(row["source"]),
                )
                for row in errors
            )
            tables.append(_table("published-errors", "Errors on the validation images, as published.", titles, rows))
        if times := time_rows(record):
            titles = "forward ms|backward ms|both ms|batch|crop px|device|source"
            rows = tuple(
                (
                    *(cell(row.get(key), 2) for key in ("forward_ms", "backward_ms", "forward_backward_ms")),
                    cell(row.get("batch", 1)),
                    cell(row.get("crop_size")),
                    cell(row["device"]),
                    self._source(row["source"]),
                )
                for row in times
            )
            tables.append(_table("published-times", "Times, as published.", titles, rows))
        return tables

    def measured(self, name: str) -> list[str]:
        """HTML tables of what was measured with this package; none where nothing was."""
        tables = []
        for table in self._measured:
            rows = tuple(row[1:] for row in table.rows if row[0] == cell(name))
            if rows:
                tables.append(to_html(Table(f"own-{table.name}", table.caption, table.columns[1:], rows)))
        return tables

    def layer_times(self, name: str) -> list[LayerTimes]:
        """Times of layers in the newest run of each way of measuring that has them."""
        newest = {
            (setup(run), run.crop_size, run.batch_size): LayerTimes(run, tuple(layers))
            for run, layers in self._runs_with_layers.get(name, ())
        }
        return list(newest.values())

    @cached_property
    def _runs_with_layers(self) -> dict[str, list[tuple[TimeRow, list[LayerRow]]]]:
        found: dict[str, list[tuple[TimeRow, list[LayerRow]]]] = {}
        for run, layers in runs_with_details(self.data.time, self.data.layers):
            found.setdefault(run.network, []).append((run, sorted(layers, key=lambda layer: layer.position)))
        return found

    def chart_data(self, name: str, times: Sequence[LayerTimes]) -> dict[str, list[Json]]:
        """Data of the page's charts by the chart's name, one for each choice; a chart without data is left out."""
        charts = {}
        curves = crop_curves(self.data, name)
        if any(len(curve.points) > 1 for curve in curves):
            charts["crops"] = [curve_data(curves)]
        if times:
            charts["layers"] = [layer_data(one.layers) for one in times]
        return charts

    def _weights_row(self, entry: Record) -> tuple[Cell, ...]:
        digest = next(((key, entry[key]) for key in _HASHES if entry.get(key)), None)
        state = WEIGHTS_STATES[entry["state"]]
        if entry["state"] == "reported-dead":
            state += f" {entry['reported']}, {entry['thread']}"
        known = [
            _TRAINING.get(entry.get("training", "same")),
            _LAYOUTS.get(entry.get("layout") or ""),
            entry.get("note"),
        ]
        return (
            cell(state),
            _place(entry),
            cell(entry["format"]),
            cell(f"{entry['bytes']:,}" if entry.get("bytes") else entry.get("size_text")),
            cell(f"{digest[0].replace('_', ' ')} {digest[1]}" if digest else None),
            cell(entry.get("licence")),
            cell("; ".join(filter(None, known)) or None),
            self._source(entry["source"]),
        )

    def _source(self, key: str) -> Cell:
        source = self.data.index.sources[key]
        return cell(source["title"], url=source.get("url"))


def _place(entry: Record) -> Cell:
    scheme = entry.get("scheme")
    if scheme is None:
        return ()
    identity = entry.get("file") or entry.get("path") or entry.get("url") or entry.get("id")
    if scheme in ("pypi", "npm", "hf"):
        identity = entry["id"]
    url = entry.get("url")
    if scheme == "gdrive":
        url = f"https://drive.google.com/open?id={entry['id']}"
    elif scheme == "hf":
        url = f"https://huggingface.co/{entry['id']}"
    archive = entry.get("archive")
    inside = (Span(f"in {archive['file']}"),) if archive and archive.get("file") else ()
    return (Span(f"{_SCHEMES[scheme]}:"), Span(str(identity), url), *inside)


def _table(name: str, caption: str, titles: str, rows: tuple[tuple[Cell, ...], ...]) -> str:
    numbers = ("%", "ms", "px", "crops", "batch")
    columns = tuple(Column(title, number=title.endswith(numbers)) for title in titles.split("|"))
    return to_html(Table(name, caption, columns, rows))
