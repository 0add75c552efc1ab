"""Records of measurements for tests, made by the classes that make the real ones."""

from __future__ import annotations

import json
from typing import Any

from caffezoo.evaluation.metrics import ErrorRate
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.result import EvaluationResult, SetRates
from caffezoo.report.provenance import provenance


def evaluation_record(**changes: Any) -> dict[str, Any]:
    """What ``caffezoo evaluate --json`` prints for DPN-92 at its small preset on 50,000 images."""
    images = changes.pop("images", 50000)
    protocol = {
        "base_size": 256,
        "crop_size": 224,
        "mean": (104.0, 117.0, 124.0),
        "std": (59.88, 59.88, 59.88),
        **changes.pop("protocol", {}),
    }
    top1 = changes.pop("top1", ErrorRate(images * 2081 // 10000, images))
    top5 = changes.pop("top5", ErrorRate(images * 547 // 10000, images))
    values: dict[str, Any] = {
        "rates": (SetRates("labels", top1, top5),),
        "seconds": 1234.5,
        "unreadable": (),
        "interrupted": False,
        "total": images,
        "network": "dpn-92",
        "classes": 1000,
        "output": "prob",
        "prototxt_sha256": "1" * 64,
        "weights_sha256": "2" * 64,
        "protocol": Protocol(**protocol),
        "engine": "openvino",
        "device": "CPU (some CPU)",
        "precision": "float32",
        "threads": 2,
        "batch_size": 8,
        "data": "val",
        "label_list": "cls/ILSVRC2012_val.txt",
        "label_list_sha256": "3" * 64,
        "label_order": "2015",
        "drop_background": False,
        "images_sha256": "4" * 64,
        "versions": {"caffezoo": "0.1.0", "openvino": "2026.4.1"},
        **changes,
    }
    printed = json.dumps(EvaluationResult(**values).to_json())
    return {**json.loads(printed), **provenance(["caffezoo", "evaluate", "--net", "dpn-92"])}


def time_record(**changes: Any) -> dict[str, Any]:
    """A timed run of DPN-92 with three layers."""
    return {
        **provenance(["caffezoo", "time", "--net", "dpn-92"]),
        "network": "dpn-92",
        "crop_size": 224,
        "batch_size": 1,
        "forward_ms": 75.25,
        "forward_spread_ms": 0.5,
        "backward_ms": None,
        "iterations": 20,
        "engine": "openvino",
        "device": "CPU",
        "precision": "float32",
        "threads": 2,
        "sha256": {"prototxt": "1" * 64, "weights": None},
        "versions": {"caffezoo": "0.1.0"},
        "layers": [
            {"layer": "conv1", "layer_type": "Convolution", "forward_ms": 5.5},
            {"layer": "bn1", "layer_type": "BatchNorm", "forward_ms": 0.0},
            {"layer": "pool1", "layer_type": "Pooling", "forward_ms": 1.25},
        ],
        **changes,
    }
