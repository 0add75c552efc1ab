"""Evaluate a classifier on a dataset: the loop, and what its result depends on."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.errors import DataError, ImageError
from caffezoo.evaluation.classifier import Classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.journal import Journal, Outcome
from caffezoo.evaluation.labels import check_labels
from caffezoo.evaluation.metrics import ErrorCounter
from caffezoo.evaluation.pipeline import score_images
from caffezoo.evaluation.result import EvaluationResult, Progress
from caffezoo.evaluation.suspicion import suspicions
from caffezoo.opencv import load_cv2
from caffezoo.version import __version__


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    *,
    workers: int = 2,
    strict: bool = False,
    journal: Journal | None = None,
    on_image: Callable[[Progress], None] | None = None,
) -> EvaluationResult:
    """Score every image and count the errors.

    Parameters
    ----------
    classifier : Classifier
    dataset : Dataset
        Labels in the order of the classifier's outputs; see :func:`caffezoo.evaluation.matching.match_labels`.
    workers : int, optional
        Threads that decode and crop.
    strict : bool, optional
        Raise for the first unreadable image instead of counting it.
    journal : Journal, optional
        What it holds already is not scored again, and what becomes of the other images is written into it.
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
    if classifier.classes < 2:
        raise DataError(
            "an error rate needs two classes or more, and the network has one output",
            where=str(classifier.recipe.prototxt),
            hint="`caffezoo classify` shows its value",
        )
    engine = classifier.engine
    counter = ErrorCounter(classifier.classes)
    unreadable: list[tuple[str, str]] = []
    done = journal.outcomes if journal else ()
    for image, outcome in zip(dataset.images, done, strict=False):
        if outcome.reason is None:
            counter.count(image.label, outcome.rank, outcome.guess)
        elif strict:
            raise ImageError(outcome.reason, where=image.path)
        else:
            unreadable.append((image.path, outcome.reason))
    before_s = journal.seconds if journal else 0.0
    rest = dataset.images[len(done) :]
    scored = score_images(
        engine,
        dataset.items(range(len(done), len(dataset.images))),
        classifier.protocol,
        batch_size=engine.batch_size,
        output=classifier.output,
        first_class=classifier.first_class,
        workers=workers,
    )
    interrupted = False
    start = time.perf_counter()
    try:
        for image, found in zip(rest, scored, strict=True):
            if found.scores is not None:
                rank, guess = counter.add(found.scores, image.label, where=image.path)
                outcome = Outcome(rank, guess)
            else:
                assert found.error is not None
                if strict:
                    raise found.error
                outcome = Outcome(reason=_reason(found.error))
                unreadable.append((image.path, _reason(found.error)))
            if journal is not None:
                journal.add(outcome, before_s + time.perf_counter() - start)
            if on_image is not None:
                on_image(
                    Progress(
                        done=counter.images + len(unreadable),
                        total=len(dataset.images),
                        resumed=len(done),
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
        if journal is not None:
            journal.close()
    seconds = before_s + time.perf_counter() - start
    if not counter.images:
        path, reason = unreadable[0]
        raise DataError(f"none of the {len(unreadable)} images can be read", where=path, hint=f"this one: {reason}")
    if journal is not None and not interrupted:
        journal.remove()
    return EvaluationResult(
        top1=counter.top1,
        top5=counter.top5,
        seconds=seconds,
        unreadable=tuple(unreadable),
        interrupted=interrupted,
        total=len(dataset.images),
        protocol=classifier.protocol,
        threads=engine.threads,
        batch_size=engine.batch_size,
        data=dataset.name,
        confusion=counter.confusion,
        warnings=suspicions(counter.confusion, classifier.classes, classifier.recipe.label_order),
        notes=(*classifier.network_notes, *classifier.notes, *dataset.notes),
        **_identity(classifier, dataset),
    )


def open_journal(folder: Path, classifier: Classifier, dataset: Dataset, *, resume: bool = True) -> Journal | None:
    """Open the journal of an evaluation; see :meth:`caffezoo.evaluation.journal.Journal.open`.

    It belongs to everything that the scores depend on, down to the versions and the images' paths; threads and batch
    size, which change no more than rounding, may be others.
    """
    paths = hashlib.sha256("\0".join(os.path.abspath(image.path) for image in dataset.images).encode())
    identity = {
        **_identity(classifier, dataset),
        "protocol": classifier.protocol.to_json(),
        "options": classifier.recipe.options.to_json(),
        "images": len(dataset.images),
        "paths_sha256": paths.hexdigest(),
    }
    return Journal.open(folder, identity, resume=resume)


def default_workers() -> int:
    """Threads that decode: one image takes 3 ms of one core, so a few feed any CPU engine."""
    return max(2, min(8, (os.cpu_count() or 1) // 4))


def _reason(error: ImageError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _identity(classifier: Classifier, dataset: Dataset) -> dict[str, Any]:
    """What an evaluation is of, and what runs it."""
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


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _versions(engine: str, engine_version: str) -> dict[str, str]:
    return {
        "caffezoo": __version__,
        engine: engine_version,
        "cv2": load_cv2().__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
