"""Evaluate classifiers on a dataset: the loop, and what its result depends on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from caffezoo.errors import DataError, ImageError, OutOfMemoryError
from caffezoo.evaluation.answer_keys import own_labels
from caffezoo.evaluation.classifier import Classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.identity import facts, identity
from caffezoo.evaluation.labels import check_labels
from caffezoo.evaluation.outcomes import LabelSet, Outcome
from caffezoo.evaluation.result import EvaluationResult, Progress
from caffezoo.evaluation.runs.folder import Run, shard_images
from caffezoo.evaluation.runs.scoring import ScoredShard, Subject, score_shards
from caffezoo.evaluation.suspicion import suspicions
from caffezoo.evaluation.tally import Tally

Pending = Sequence[tuple[int, range, tuple[int, ...]]]
Scorer = Callable[..., Any]


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    *,
    workers: int = 2,
    strict: bool = False,
    run: Run | None = None,
    label_sets: tuple[LabelSet, ...] | None = None,
    on_image: Callable[[Progress], None] | None = None,
) -> EvaluationResult:
    """Score every image by one network and count the errors; see :func:`evaluate_together`."""
    subject = Subject(classifier, dataset, label_sets or (own_labels(dataset),))
    (result,) = evaluate_together(
        [subject], [run] if run is not None else None, workers=workers, strict=strict, on_image=on_image
    )
    return result


def evaluate_together(
    subjects: Sequence[Subject],
    runs: Sequence[Run] | None = None,
    *,
    workers: int = 2,
    strict: bool = False,
    on_image: Callable[[Progress], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    scorer: Scorer | None = None,
) -> list[EvaluationResult]:
    """Score every image by several networks in one pass and count the errors.

    Parameters
    ----------
    subjects : sequence of Subject
        Over the same images. Out of memory, one of them may be given a smaller batch.
    runs : sequence of Run, optional
        Of each subject: what it holds already is not scored again. Kept in memory if not given.
    workers : int, optional
        Threads that decode and crop.
    strict : bool, optional
        Raise for the first unreadable image instead of counting it.
    on_image : callable, optional
        Called after every image; its rates are those of a single subject.
    on_note : callable, optional
        Called with what the user has to know of.
    scorer : callable, optional
        What scores the shards instead of :func:`caffezoo.evaluation.runs.scoring.score_shards`: other machines.

    Returns
    -------
    list of EvaluationResult
        Also after a KeyboardInterrupt, if an image was scored before it: ``interrupted`` says so.

    Raises
    ------
    DataError
        A label that a network cannot have (before anything runs), or no image that can be read, or no place for a run.
    ImageError
        ``strict`` and an unreadable image.
    EngineError
        An engine failed, or its scores are not finite.
    """
    subjects = list(subjects)
    for subject in subjects:
        check_subject(subject)
    runs = list(runs) if runs is not None else [new_run(subject) for subject in subjects]
    tallies = [Tally(subject) for subject in subjects]
    for tally, run in zip(tallies, runs, strict=True):
        tally.add_all(run.outcomes())
        if strict and tally.unreadable:
            image, reason = tally.unreadable[0]
            raise ImageError(reason, where=tally.subject.dataset.images[image].path)
    resumed = sum(tally.done for tally in tallies)
    total = sum(run.images for run in runs)

    def count(number: int, image: int, outcome: Outcome) -> None:
        tallies[number].add(image, outcome)
        if on_image is not None:
            only = tallies[0] if len(tallies) == 1 else None
            on_image(
                Progress(
                    done=sum(tally.done for tally in tallies),
                    total=total,
                    resumed=resumed,
                    top1=only.top1 if only else None,
                    top5=only.top5 if only else None,
                    unreadable=sum(len(tally.unreadable) for tally in tallies),
                )
            )

    interrupted = False
    start, before_s = time.perf_counter(), [run.seconds for run in runs]
    try:
        while pending := _pending(runs):
            try:
                _do(subjects, runs, pending, scorer or score_shards, workers, strict, count)
            except OutOfMemoryError as error:
                subjects = [_with_less(subject, error, on_note) for subject in subjects]
                tallies[:] = [Tally(subject) for subject in subjects]
                for tally, run in zip(tallies, runs, strict=True):
                    tally.add_all(run.outcomes())
    except KeyboardInterrupt:
        if not any(tally.scored for tally in tallies):
            raise
        interrupted = True
    elapsed = time.perf_counter() - start
    results = []
    for tally, run, earlier_s in zip(tallies, runs, before_s, strict=True):
        if not interrupted:
            tally = Tally(tally.subject)  # in the order of the images, whichever came first
            tally.add_all(run.outcomes())
        result = _result(tally, run, earlier_s + elapsed / len(runs), interrupted, workers if scorer is None else None)
        if not interrupted:
            run.finish(result.summary())
        results.append(result)
    return results


def _do(
    subjects: Sequence[Subject],
    runs: Sequence[Run],
    pending: Pending,
    scorer: Scorer,
    workers: int,
    strict: bool,
    on_image: Callable[[int, int, Outcome], None],
) -> None:
    found: Any = scorer(subjects, pending, workers=workers, strict=strict, on_image=on_image)
    with closing(found) as shards:
        done: ScoredShard
        for done in shards:
            runs[done.subject].write(done.shard, done.outcomes, done.seconds)


def _pending(runs: Sequence[Run]) -> list[tuple[int, range, tuple[int, ...]]]:
    """Shards to be done, with their images and the subjects that lack them; runs of one shard size at a time."""
    missing = [set(run.pending()) for run in runs]
    sizes = {run.shard_size for run in runs if run.pending()}
    if not sizes:
        return []
    size = max(sizes)
    return [
        (shard, next(run for run in runs if run.shard_size == size).indices(shard), wanted)
        for shard in range(max(run.shards for run in runs if run.shard_size == size))
        if (wanted := tuple(k for k, run in enumerate(runs) if run.shard_size == size and shard in missing[k]))
    ]


def _with_less(subject: Subject, error: OutOfMemoryError, on_note: Callable[[str], None] | None) -> Subject:
    """Return a subject with half the batch; raise where there is none."""
    classifier = subject.classifier
    half = classifier.engine.batch_size // 2
    if half < 1 or classifier.reopen is None:
        raise error
    if on_note is not None:
        on_note(f"out of memory with a batch of {2 * half}: {classifier.recipe.name} goes on with {half}")
    classifier.close()
    return Subject(classifier.reopen(batch_size=half), subject.dataset, subject.label_sets, subject.subset)


def check_subject(subject: Subject) -> None:
    """Raise DataError for labels that a network cannot have, and for a network of one output."""
    classifier = subject.classifier
    check_labels(subject.dataset.images, classifier.classes)
    if classifier.classes < 2:
        raise DataError(
            "an error rate needs two classes or more, and the network has one output",
            where=str(classifier.recipe.prototxt),
            hint="`caffezoo classify` shows its value",
        )


def new_run(subject: Subject, path: Path | None = None, *, resume: bool = True) -> Run:
    """Return the run of a subject: in a directory, or in memory.

    Raises
    ------
    DataError
        See :meth:`caffezoo.evaluation.runs.folder.Run.open`.
    """
    images = len(subject.dataset.images)
    size = shard_images(subject.classifier.protocol.views)
    if path is None:
        return Run(None, {}, images, size)
    return Run.open(path, identity(subject), images, size, resume=resume)


def _result(tally: Tally, run: Run, seconds: float, interrupted: bool, workers: int | None) -> EvaluationResult:
    subject, dataset = tally.subject, tally.subject.dataset
    classifier, engine = subject.classifier, subject.classifier.engine
    unreadable = tuple((dataset.images[image].path, reason) for image, reason in tally.unreadable)
    if not tally.scored:
        path, reason = unreadable[0]
        raise DataError(f"none of the {len(unreadable)} images can be read", where=path, hint=f"this one: {reason}")
    if tally.top1 is None:
        raise DataError(f"label set {subject.label_sets[0].name} says nothing of the {tally.scored} images")
    return EvaluationResult(
        rates=tally.rates,
        seconds=seconds,
        unreadable=unreadable,
        interrupted=interrupted,
        total=run.images,
        protocol=classifier.protocol,
        threads=engine.threads,
        streams=getattr(engine, "streams", 1),
        workers=workers,
        batch_size=engine.batch_size,
        data=dataset.name,
        class_subset=len(subject.subset) if subject.subset else None,
        calibration=tally.calibration,
        confusion=tally.confusion,
        warnings=(
            *classifier.warnings,
            *suspicions(tally.confusion, classifier.classes, classifier.recipe.label_order),
        ),
        notes=(*classifier.network_notes, *classifier.notes, *dataset.notes),
        **facts(subject),
    )
