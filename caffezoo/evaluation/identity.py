"""What an evaluation is of, and what runs it: everything that its outcomes depend on."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.evaluation.images import load_cv2
from caffezoo.evaluation.runs.scoring import Subject
from caffezoo.version import __version__


def facts(subject: Subject) -> dict[str, Any]:
    """Return the fields of a result that say what it is of."""
    classifier, dataset = subject.classifier, subject.dataset
    recipe, engine = classifier.recipe, classifier.engine
    return {
        "network": recipe.name,
        "classes": classifier.classes,
        "output": classifier.output,
        "label_order": recipe.label_order,
        "drop_background": recipe.drop_background,
        "prototxt_sha256": _file_sha256(recipe.prototxt),
        "weights_sha256": _file_sha256(recipe.weights),
        "engine": engine.name,
        "device": engine.device,
        "precision": engine.precision,
        "label_list": dataset.label_list,
        "label_list_sha256": dataset.label_list_sha256,
        "images_sha256": dataset.images_sha256,
        "versions": _versions(engine.name, engine.version),
    }


def identity(subject: Subject) -> dict[str, Any]:
    """Return everything that outcomes depend on; not threads and batch, which change no more than rounding."""
    keys = hashlib.sha256(repr([(one.name, one.labels) for one in subject.label_sets]).encode())
    name = subject.dataset.name
    return {
        **facts(subject),
        "protocol": subject.classifier.protocol.to_json(),
        "options": subject.classifier.recipe.options.to_json(),
        "image_names_sha256": _names_sha256(subject),
        "data": name if name == "sample" else os.path.abspath(name),
        "label_sets": [one.name for one in subject.label_sets],
        "label_sets_sha256": keys.hexdigest(),
        "class_subset": list(subject.subset) if subject.subset else None,
    }


def _names_sha256(subject: Subject) -> str:
    """Hash of the images' names in order, whatever their labels are numbered like."""
    digest = hashlib.sha256()
    for image in subject.dataset.images:
        digest.update(f"{os.path.basename(image.path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def default_run_path(folder: Path, subject: Subject) -> Path:
    """Return where an evaluation is kept until it is complete, by everything that it depends on."""
    digest = hashlib.sha256(repr(sorted(identity(subject).items())).encode()).hexdigest()[:16]
    return folder / f"{file_name(subject.classifier.recipe.name)[:60]}-{digest}"


def file_name(text: str) -> str:
    """Return a text as the name of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)


def _file_sha256(path: Path) -> str:
    state = path.stat()
    return _hash(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash(path: str, size_bytes: int, mtime_ns: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _versions(engine: str, engine_version: str) -> dict[str, str]:
    return {
        "caffezoo": __version__,
        engine: engine_version,
        "cv2": load_cv2().__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
