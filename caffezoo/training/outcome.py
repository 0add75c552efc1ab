"""What a fine-tuning leaves: Caffe's files, the history, pictures, and an entry for the index.

Importing this module imports torch.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from caffezoo.errors import UsageError
from caffezoo.formats.caffemodel import write_caffemodel
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.plain import to_plain
from caffezoo.training.bit_summary import BitSummary, bit_summary
from caffezoo.training.finetune import Epoch, FineTuning, Validation


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained network's files and figures.

    Attributes
    ----------
    deploy, caffemodel, index : Path
    best : Epoch
    validation : Validation
        Of the best epoch's weights.
    summary : BitSummary
    """

    deploy: Path
    caffemodel: Path
    index: Path
    best: Epoch
    validation: Validation
    summary: BitSummary


def write_outcome(training: FineTuning) -> Outcome:
    """Write the files of a training that has run; its net has the best epoch's weights.

    Raises
    ------
    WeightsFileError, OSError
    """
    job, plan = training.job, training.plan
    output = job.output
    deploy, caffemodel, index = output / "deploy.prototxt", output / f"{job.name}.caffemodel", output / "index.yaml"
    net = plan.deploy(job.name)
    names = {layer.name for layer in net.layer}
    weights = {}
    with torch.no_grad():
        for layer in training.solver.net.module.layers:
            if layer.layer_name in names and layer.node.blob_shapes:
                blobs = list(layer.blobs())
                if layer.layer_name in plan.form.weights:
                    blobs[0] = plan.form.weights[layer.layer_name](layer.blob(0)).cpu().numpy()
                weights[layer.node.key] = blobs
    network = Network.from_proto(net, weights=weights, path=str(deploy))
    plain = to_plain(network)
    deploy.write_text(write_prototxt(plain.prototxt.net))
    write_caffemodel(caffemodel, plain.prototxt.net, plain.weights)
    summary = bit_summary(network, plan.form.weight_bits, plan.form.input_bits)
    validation = training.validate()
    history = training.progress.history
    _write_rows(output / "history.csv", [asdict(row) for row in history])
    _write_confusion(output / "confusion.csv", plan.split.classes, validation.confusion)
    _write_summary(output / "summary.csv", summary)
    index.write_text(_index(training, caffemodel))
    try:
        _draw(output, history, plan.split.classes, validation)
    except UsageError:  # matplotlib is an extra
        (output / "curves.png").unlink(missing_ok=True)
    return Outcome(deploy, caffemodel, index, training.progress.best_epoch, validation, summary)


def _write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_confusion(path: Path, classes: tuple[str, ...], confusion: np.ndarray) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *classes])
        writer.writerows([name, *row.tolist()] for name, row in zip(classes, confusion, strict=True))


def _write_summary(path: Path, summary: BitSummary) -> None:
    bits = sorted({*summary.parameters, *summary.macs})
    rows: list[dict[str, object]] = []
    for layer in summary.layers:
        rows.append(
            {
                "layer": layer.name,
                "type": layer.type,
                "input_bits": layer.input_bits,
                "output": "x".join(map(str, layer.top_shape[1:])),
                **{f"parameters_{b}_bit": layer.parameters.get(b, 0) for b in bits},
                "memory_kb": round(layer.memory_bytes / 1024, 2),
                **{f"macs_{b}_bit": layer.macs.get(b, 0) for b in bits},
            }
        )
    _write_rows(path, rows)


def _index(training: FineTuning, caffemodel: Path) -> str:
    """Return an index file with one entry; JSON is YAML."""
    job, classes = training.job, training.plan.split.classes
    p = job.preprocessing
    assert p.base_size is not None  # checked with the plan
    assert p.crop_size is not None
    data = caffemodel.read_bytes()
    names = list(classes)
    how = f"{len(training.plan.split.train)} images of {len(names)} classes"
    entry = {
        "family": "trained-here",
        "prototxt": "deploy.prototxt",
        "input": {"size": p.crop_size.plain, "channel_order": p.channel_order},
        "preprocessing": {
            "mean": list(p.mean),
            "std": list(p.std),
            "resize": "squash",
            "small": {"base_size": p.base_size.plain, "crop_size": p.crop_size.plain},
            "source": "trained-here",
        },
        "labels": {"order": "other", "classes": len(names), "names": names},
        "weights": [
            {
                "scheme": "file",
                "path": str(caffemodel.resolve()),
                "format": "caffemodel",
                "state": "available",
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "source": "trained-here",
            }
        ],
        "origin": {"project": f"trained with caffezoo on {how}"},
    }
    content = {
        "version": 1,
        "sources": {"trained-here": {"title": f"caffezoo train, seed {job.seed}"}},
        "families": {"trained-here": {"title": "Trained with caffezoo"}},
        "networks": {job.name: entry},
    }
    return json.dumps(content, indent=2) + "\n"


def _draw(output: Path, history: list[Epoch], classes: tuple[str, ...], validation: Validation) -> None:
    from caffezoo.report.figure import COLOURS, new_figure, save

    figure = new_figure(7.0, 4.6)
    loss, accuracy = figure.subplots(2, 1, sharex=True)
    epochs = [row.epoch for row in history]
    loss.plot(epochs, [row.train_loss for row in history], color=COLOURS[0], marker="o", markersize=3, label="train")
    loss.plot(epochs, [row.val_loss for row in history], color=COLOURS[1], marker="s", markersize=3, label="validation")
    loss.set_ylabel("loss")
    loss.legend(frameon=False)
    values = [100 * row.val_accuracy for row in history]
    accuracy.plot(epochs, values, color=COLOURS[1], marker="s", markersize=3)
    accuracy.set_ylabel("validation accuracy, %")
    accuracy.set_xlabel("epoch")
    save(figure, output / "curves.png")
    if len(classes) > 50:
        return  # the CSV has them
    figure = new_figure(2.5 + 0.35 * len(classes), 2.0 + 0.35 * len(classes))
    axes = figure.subplots()
    shares = validation.confusion / np.maximum(validation.confusion.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(False)
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("answer")
    axes.set_ylabel("label")
    for i, row in enumerate(validation.confusion):
        for j, count in enumerate(row):
            if count:
                axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    save(figure, output / "confusion.png")
