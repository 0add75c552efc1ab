"""Evaluate a classifier on a dataset: the loop, and the record of what it found and where it ran."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.errors import DataError, ImageError
from caffezoo.evaluation.classifier import Classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.images import load_cv2
from caffezoo.evaluation.labels import check_labels
from caffezoo.evaluation.metrics import ErrorCounter, ErrorRate
from caffezoo.evaluation.pipeline import score_images
from caffezoo.evaluation.protocol import Protocol


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is."""

    done: int
    total: int
    top1: ErrorRate | None
    top5: ErrorRate | None
    unreadable: int


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found, and everything that it depends on.

    Attributes
    ----------
    top1, top5 : ErrorRate
        Of the readable images; ``top5`` is None below five classes.
    seconds : float
        From the first image to the last; loading is not in it.
    unreadable : tuple of (path, reason)
    interrupted : bool
        Stopped by the user: the rates are those of the images until then.
    total : int
        Images that were to be evaluated.
    confusion : tuple of (label, guess, images)
        How many images of a class were taken for which; see :class:`caffezoo.evaluation.metrics.ErrorCounter`.
    """

    top1: ErrorRate
    top5: ErrorRate | None
    seconds: float
    unreadable: tuple[tuple[str, str], ...]
    interrupted: bool
    total: int
    network: str
    classes: int
    prototxt_sha256: str
    weights_sha256: str
    protocol: Protocol
    engine: str
    device: str
    precision: str
    threads: int
    batch_size: int
    data: str
    label_list: str
    label_list_sha256: str
    images_sha256: str
    versions: dict[str, str]
    confusion: tuple[tuple[int, int, int], ...] = ()

    @property
    def images(self) -> int:
        """Images that were scored."""
        return self.top1.images

    @property
    def images_per_second(self) -> float:
        return (self.images + len(self.unreadable)) / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values; error rates and their 95 % intervals in percent."""
        return {
            "network": self.network,
            "top1_error": self.top1.percent,
            "top1_interval": list(self.top1.interval_percent),
            "top5_error": self.top5.percent if self.top5 else None,
            "top5_interval": list(self.top5.interval_percent) if self.top5 else None,
            "images": self.images,
            "images_per_second": self.images_per_second,
            "seconds": self.seconds,
            "unreadable": [{"image": path, "reason": reason} for path, reason in self.unreadable],
            "interrupted": self.interrupted,
            "total": self.total,
            "classes": self.classes,
            "protocol": self.protocol.to_json(),
            "engine": self.engine,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "batch_size": self.batch_size,
            "data": self.data,
            "label_list": self.label_list,
            "sha256": {
                "prototxt": self.prototxt_sha256,
                "weights": self.weights_sha256,
                "label_list": self.label_list_sha256 or None,
                "images": self.images_sha256,
            },
            "versions": self.versions,
            "confusion": [list(taken) for taken in self.confusion],
        }


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    *,
    workers: int = 2,
    strict: bool = False,
    on_image: Callable[[Progress], None] | None = None,
) -> EvaluationResult:
    """Score every image and count the errors.

    Parameters
    ----------
    classifier : Classifier
    dataset : Dataset
        Labels in the order of the classifier's outputs.
    workers : int, optional
        Threads that decode and crop.
    strict : bool, optional
        Raise for the first unreadable image instead of counting it.
    on_image : callable, optional
        Called after every image.

    Returns
    -------
    EvaluationResult
        Also after a KeyboardInterrupt, if an image was scored before it: ``interrupted`` says so.

    Raises
    ------
    DataError
        A label that the network cannot have (before anything runs), or no image that can be read.
    ImageError
        ``strict`` and an unreadable image.
    EngineError
        The engine failed, or its scores are not finite.
    """
    check_labels(dataset.images, classifier.classes)
    engine = classifier.engine
    counter = ErrorCounter()
    unreadable: list[tuple[str, str]] = []
    scored = score_images(
        engine,
        (image.path for image in dataset.images),
        classifier.protocol,
        batch_size=engine.batch_size,
        output=classifier.output,
        workers=workers,
    )
    interrupted = False
    start = time.perf_counter()
    try:
        for image, outcome in zip(dataset.images, scored, strict=True):
            if outcome.scores is not None:
                counter.add(outcome.scores, image.label, where=image.path)
            elif outcome.error is not None:
                if strict:
                    raise outcome.error
                unreadable.append((image.path, _reason(outcome.error)))
            if on_image is not None:
                on_image(
                    Progress(
                        done=counter.images + len(unreadable),
                        total=len(dataset.images),
                        top1=counter.top1 if counter.images else None,
                        top5=counter.top5 if counter.images else None,
                        unreadable=len(unreadable),
                    )
                )
    except KeyboardInterrupt:
        if not counter.images:
            raise
        interrupted = True
    finally:
        scored.close()
    seconds = time.perf_counter() - start
    if not counter.images:
        path, reason = unreadable[0]
        raise DataError(f"none of the {len(unreadable)} images can be read", where=path, hint=f"this one: {reason}")
    return EvaluationResult(
        top1=counter.top1,
        top5=counter.top5,
        seconds=seconds,
        unreadable=tuple(unreadable),
        interrupted=interrupted,
        total=len(dataset.images),
        network=classifier.recipe.name,
        classes=classifier.classes,
        prototxt_sha256=_file_sha256(classifier.recipe.prototxt),
        weights_sha256=_file_sha256(classifier.recipe.weights),
        protocol=classifier.protocol,
        engine=engine.name,
        device=engine.device,
        precision=engine.precision,
        threads=engine.threads,
        batch_size=engine.batch_size,
        data=dataset.name,
        label_list=dataset.label_list,
        label_list_sha256=dataset.label_list_sha256,
        images_sha256=dataset.images_sha256,
        versions=_versions(engine.name, engine.version),
        confusion=counter.confusion,
    )


def default_workers() -> int:
    """Threads that decode: one image takes 3 ms of one core, so a few feed any CPU engine."""
    return max(2, min(8, (os.cpu_count() or 1) // 4))


def _reason(error: ImageError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _versions(engine: str, engine_version: str) -> dict[str, str]:
    from importlib.metadata import version

    return {
        "caffezoo": version("caffezoo"),
        engine: engine_version,
        "cv2": load_cv2().__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
