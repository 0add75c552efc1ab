"""An evaluation as it is asked for: networks, protocols and label sets, opened as subjects with their runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.answer_keys import label_sets, own_labels
from caffezoo.evaluation.classifier import open_classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.evaluator import check_subject, new_run
from caffezoo.evaluation.identity import default_run_path, file_name
from caffezoo.evaluation.matching import match_labels
from caffezoo.evaluation.recipe import Recipe
from caffezoo.evaluation.runs.folder import Run
from caffezoo.evaluation.runs.scoring import Subject

Note = Callable[[str], None]

_OF_200_CLASSES = re.compile(r"imagenet[-_]?(a|o|r)(?![a-z])", re.IGNORECASE)


def open_subjects(
    recipes: Sequence[Recipe],
    dataset: Dataset,
    *,
    crop_sizes: Sequence[int] = (),
    labels: Sequence[str] = (),
    class_subset: bool = False,
    batch_size: int = 8,
    streams: int | None = None,
    on_note: Note | None = None,
    **options: Any,
) -> list[Subject]:
    """Open every network at every crop size.

    Parameters
    ----------
    recipes : sequence of Recipe
    dataset : Dataset
        As :func:`caffezoo.evaluation.dataset.open_dataset` gives it.
    crop_sizes : sequence of int, optional
        A sweep: without ``base_size`` the base size grows with the crop, in the published ratio.
    labels : sequence of str, optional
        Label sets; see :func:`caffezoo.evaluation.answer_keys.label_sets`. The data's own if not given.
    class_subset : bool, optional
        Only the classes that the data have take part.
    batch_size : int, optional
    streams : int, optional
        Batches under way at a time; as suits the data if not given (:mod:`caffezoo.evaluation.concurrency`).
    on_note : callable, optional
        Called with what the user has to know of.
    **options
        Of :func:`caffezoo.evaluation.classifier.open_classifier`.

    Raises
    ------
    UsageError, DataError, NetworkError, EngineError
        A network that cannot be evaluated so; those opened until then are closed.
    """
    subjects: list[Subject] = []
    said: set[str] = set()
    try:
        for recipe in recipes:
            for size in crop_sizes or (None,):
                subject, notes = _open(recipe, dataset, size, labels, class_subset, batch_size, streams, options)
                subjects.append(subject)
                check_subject(subject)
                for note in notes:
                    if on_note is not None and note not in said:
                        on_note(note if len(recipes) == 1 else f"{recipe.name}: {note}")
                    said.add(note)
    except BaseException:
        for subject in subjects:
            subject.classifier.close()
        raise
    return subjects


def open_runs(subjects: Sequence[Subject], path: Path | None, cache: Path, *, resume: bool = True) -> list[Run]:
    """Open the run of each subject.

    Parameters
    ----------
    subjects : sequence of Subject
    path : Path, optional
        The run's directory; of several subjects each has one below it. If not given, they are kept below ``cache``, or
        in memory where that cannot be.
    cache : Path
    resume : bool
        False begins anew.

    Raises
    ------
    DataError
        See :meth:`caffezoo.evaluation.runs.folder.Run.open`; only for a named directory.
    """
    runs: list[Run] = []
    names = subject_names(subjects)
    try:
        for subject, name in zip(subjects, names, strict=True):
            if path is not None:
                runs.append(new_run(subject, path / file_name(name) if len(subjects) > 1 else path, resume=resume))
            else:
                try:
                    runs.append(new_run(subject, default_run_path(cache, subject), resume=resume))
                except DataError:
                    runs.append(new_run(subject))
    except BaseException:
        for run in runs:
            run.close()
        raise
    return runs


def subject_names(subjects: Sequence[Subject]) -> list[str]:
    """Return a name for each subject that tells it from the others."""
    networks = [subject.classifier.recipe.name for subject in subjects]
    if len(set(networks)) == len(networks):
        return networks
    return [f"{subject.classifier.recipe.name} {subject.classifier.protocol.name}" for subject in subjects]


def _open(
    recipe: Recipe,
    dataset: Dataset,
    crop_size: int | None,
    labels: Sequence[str],
    class_subset: bool,
    batch_size: int,
    streams: int | None,
    options: dict[str, Any],
) -> tuple[Subject, list[str]]:
    if crop_size is not None:
        options = {
            **options,
            "crop_size": crop_size,
            "base_size": options.get("base_size") or _swept_base(recipe, crop_size),
        }
    elif options.get("slides") and not options.get("crop_size"):
        options = {**options, "crop_size": recipe.preprocessing.base_size}
    classifier = open_classifier(recipe, batch_size=batch_size, streams=streams, images=len(dataset.images), **options)
    try:
        matched = match_labels(dataset, recipe.label_order, classifier.classes)
        own = (own_labels(matched),)
        sets = label_sets(labels, matched, recipe.label_order, classifier.classes) if labels else own
        subset = _subset(matched, classifier.classes, class_subset)
    except BaseException:
        classifier.close()
        raise
    notes = [*classifier.notes, *matched.notes]
    if subset is not None:
        notes.append(f"only the {len(subset)} classes of the data take part")
    return Subject(classifier, matched, sets, subset), notes


def _swept_base(recipe: Recipe, crop_size: int) -> int:
    """Return the base size in px that goes with a crop size, in the ratio that the network is published with."""
    base, crop = recipe.preprocessing.base_size, recipe.preprocessing.crop_size
    if base is None or crop is None:
        return crop_size
    return max(crop_size, crop_size * base.height // crop.height)


def _subset(dataset: Dataset, classes: int, asked: bool) -> tuple[int, ...] | None:
    """Return the classes that take part, where not all do: as asked, or for ImageNet-A, -O and -R."""
    there = tuple(sorted({image.label for image in dataset.images}))
    if asked and len(there) < 2:
        raise UsageError("--class-subset wants data of two classes or more")
    known = len(there) == 200 and classes == 1000 and _OF_200_CLASSES.search(dataset.name) is not None
    return there if (asked or known) and len(there) < classes else None
