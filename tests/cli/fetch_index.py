"""A user's index with one network whose weights lie where a test says."""

from __future__ import annotations

from pathlib import Path

import yaml


def write_index(folder: Path, name: str, prototxt: str, *weights: dict[str, object]) -> Path:
    """Write ``index.yaml`` and the network's prototxt beside it; return the index's path."""
    (folder / f"deploy_{name}.prototxt").write_text(prototxt)
    defaults = {"format": "caffemodel", "state": "available", "source": "test"}
    network = {
        "family": "test-family",
        "prototxt": f"deploy_{name}.prototxt",
        "input": {"size": 8},
        "preprocessing": {
            "mean": [1.0, 2.0, 3.0],
            "std": [1.0, 1.0, 1.0],
            "small": {"base_size": 8, "crop_size": 8},
            "source": "test",
        },
        "labels": {"order": "other", "classes": 5},
        "origin": {"project": "test"},
        "weights": [{**defaults, **w} for w in weights],
    }
    index = {
        "version": 1,
        "sources": {"test": {"title": "a test"}},
        "families": {"test-family": {"title": "of a test"}},
        "networks": {name: network},
    }
    path = folder / "index.yaml"
    path.write_text(yaml.safe_dump(index))
    return path
