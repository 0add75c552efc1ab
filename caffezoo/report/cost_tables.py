"""Tables of what networks cost, take and where they are: cost and download, preprocessing."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from caffezoo.report.accuracy_tables import forward_backward
from caffezoo.report.published import Record, times_at
from caffezoo.report.table import Cell, Column, Span, Table, cell, sentence
from caffezoo.report.zoo_data import ZooData

_STATES = {
    "available": "",
    "unknown": "not tried:",
    "reported-dead": "reported dead:",
    "never-published": "never published",
}
_SCHEMES = {
    "gdrive": "Google Drive",
    "baidu": "Baidu",
    "hf": "Hugging Face",
    "pypi": "PyPI",
    "npm": "npm",
    "file": "file",
}
_FORMATS = {
    "caffemodel": "caffemodel",
    "torch": "PyTorch",
    "keras": "Keras",
    "tfjs": "TensorFlow.js",
    "tf": "TensorFlow",
    "mxnet": "MXNet",
}


def cost_table(data: ZooData) -> Table:
    """Computed cost, published times, and where weights can be had."""
    rows: list[tuple[Cell, ...]] = []
    sources: list[str | None] = []
    for name, record in data.records.items():
        cost = data.costs[name]
        times = {preset: next(times_at(record, preset, ""), None) for preset in ("small", "large")}
        sources += [row["source"] for row in times.values() if row]
        origin = record["origin"]
        rows.append(
            (
                cell(name),
                cell(record.get("task", "classification")),
                cell(cost["parameters"] / 1e6, 2),
                cell(cost["macs"] / 1e9, 3),
                cell(cost["blob_elements"] * 4 / 2**20, 1),
                *(time_on_gpu(record, preset) for preset in times),
                weights_cell(record.get("weights") or ()),
                cell(origin["project"], url=origin.get("url")),
            )
        )
    return Table(
        "cost",
        "Computed from the prototxts: parameters, multiply-accumulates of one image at the small crop size, and the "
        "size of a float32 caffemodel. Published: forward/backward time of one image in ms on the source's GPU (F/B).",
        (
            Column("network"),
            Column("task"),
            Column("params M", number=True),
            Column("GMACs", number=True),
            Column("MiB", number=True),
            Column("F/B small", number=True),
            Column("F/B large", number=True),
            Column("weights"),
            Column("origin"),
        ),
        tuple(rows),
        (
            *device_notes(data),
            sentence(["Weights known to be trained apart from the published figures are left out."]),
            sentence(["Not tried: whether these still answer is not known."]),
            *data.source_note(sources),
        ),
    )


def preprocessing_table(data: ZooData) -> Table:
    """What turns an image into each network's input."""
    rows: list[tuple[Cell, ...]] = []
    sources: list[str | None] = []
    for name, record in data.records.items():
        p = record["preprocessing"]
        sources.append(p["source"])
        rows.append(
            (
                cell(name),
                cell(record.get("task", "classification")),
                cell(" ".join(f"{v:.10g}" for v in p["mean"])),
                cell(" ".join(f"{v:.10g}" for v in p["std"])),
                *(cell(f"{s['base_size']}/{s['crop_size']}" if (s := p.get(k)) else None) for k in ("small", "large")),
                cell("both sides" if p.get("resize", "short") == "squash" else "short side"),
                cell(record["input"].get("channel_order", "BGR")),
                cell(_labels(record)),
                cell(p["source"]),
            )
        )
    return Table(
        "preprocessing",
        "Input = (pixel - mean) / std with pixels 0..255; mean and std are of blue, green, red, as published by the "
        "named source. Sizes as base/crop in px: the short side, or both sides, are brought to the base size.",
        (
            Column("network"),
            Column("task"),
            Column("mean"),
            Column("std"),
            Column("small", number=True),
            Column("large", number=True),
            Column("resize"),
            Column("channels"),
            Column("labels"),
            Column("source"),
        ),
        tuple(rows),
        (
            sentence(["Labels: 2012 is the order of sorted WordNet ids, 2015 that of the 2015 development kit."]),
            *data.source_note(sources),
        ),
    )


def time_on_gpu(record: Record, preset: str) -> Cell:
    """Published forward/backward time in ms of one image on the source's GPU."""
    rows = [row for row in times_at(record, preset, "") if not row["device"].startswith("CPU")]
    return forward_backward(rows[0]) if rows else ()


def device_notes(data: ZooData, records: Iterable[Record] | None = None) -> list[Cell]:
    """A note that names the GPUs of the published times of these networks; of all of them if none are given."""
    devices: dict[str, str] = {}
    for record in data.records.values() if records is None else records:
        for preset in ("small", "large"):
            for row in times_at(record, preset, ""):
                if not row["device"].startswith("CPU"):
                    devices.setdefault(row["source"], row["device"])
    if not devices:
        return []
    said = "; ".join(f"{device} ({source})" for source, device in devices.items())
    return [sentence([f"F/B: on {said}."])]


def weights_cell(weights: Iterable[Record], most: int | None = None) -> Cell:
    """The places of one state, the best that there is, with links; at most so many of them."""
    wanted = [w for w in weights if w.get("training", "same") != "other"]
    for state, said in _STATES.items():
        here = [w for w in wanted if w["state"] == state]
        if not here:
            continue
        if state == "never-published":
            return cell(said)
        places: dict[str, Span] = {}
        for entry in here:
            kind = "" if entry["format"] == "caffemodel" else f" ({_FORMATS[entry['format']]})"
            text = (_SCHEMES.get(entry["scheme"]) or urlsplit(entry["url"]).netloc) + kind
            if entry["scheme"] in ("pypi", "npm"):
                text = f"{_SCHEMES[entry['scheme']]} {entry['id']}{kind}"
            if state == "reported-dead":
                text += f" {entry['reported']}"
            places.setdefault(text, Span(text, _address(entry)))
        listed = [piece for place in list(places.values())[:most] for piece in (Span(","), place)]
        return (*([Span(said)] if said else []), *listed[1:])
    return ()


def _address(entry: Record) -> str | None:
    if entry["scheme"] == "gdrive":
        return f"https://drive.google.com/open?id={entry['id']}"
    if entry["scheme"] == "hf":
        return f"https://huggingface.co/{entry['id']}"
    return entry.get("url")


def _labels(record: Record) -> str:
    labels = record["labels"]
    return str(labels["order"]) if labels["order"] != "other" else f"{labels['classes']} of its own"
