"""The shards of runs, scored: several networks over the same images in one pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from caffezoo.errors import ImageError
from caffezoo.evaluation.classifier import Classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.outcomes import LabelSet, Outcome, judge
from caffezoo.evaluation.pipeline import Lane, Work, score_together

OnImage = Callable[[int, int, Outcome], None]
"""Takes the number of the subject, the number of the image, and what became of it."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network under a protocol, and the labels that it is held against.

    Attributes
    ----------
    classifier : Classifier
    dataset : Dataset
        Labels numbered as the network's outputs.
    label_sets : tuple of LabelSet
    subset : tuple of int or None
        The only classes that take part.
    """

    classifier: Classifier
    dataset: Dataset
    label_sets: tuple[LabelSet, ...]
    subset: tuple[int, ...] | None = None

    @property
    def lane(self) -> Lane:
        engine = self.classifier.engine
        return Lane(
            engine,
            self.classifier.protocol,
            engine.batch_size,
            self.classifier.output,
            self.classifier.first_class,
            getattr(engine, "streams", 1),
        )

    def answers(self, image: int) -> list[tuple[int, ...]]:
        """Return the labels of an image, set by set."""
        return [one.labels[image] for one in self.label_sets]


@dataclass(frozen=True)
class ScoredShard:
    """A shard of a subject, done: what became of its images, and the seconds since the last one."""

    subject: int
    shard: int
    outcomes: tuple[Outcome, ...]
    seconds: float


def score_shards(
    subjects: Sequence[Subject],
    shards: Sequence[tuple[int, range, tuple[int, ...]]],
    *,
    workers: int = 2,
    strict: bool = False,
    on_image: OnImage | None = None,
) -> Generator[ScoredShard, None, None]:
    """Score shards, in order.

    Parameters
    ----------
    subjects : sequence of Subject
        Over the same images, in one order.
    shards : sequence of (shard, images, subjects)
        Which subjects, by number, a shard is to be done for.
    workers : int, optional
        Threads that decode and crop.
    strict : bool, optional
        Raise for the first unreadable image.
    on_image : callable, optional

    Raises
    ------
    ImageError
        ``strict`` and an unreadable image.
    EngineError
        An engine failed, or its scores are not finite.
    """
    images = subjects[0].dataset.images

    def work() -> Iterator[Work]:
        for _, indices, wanted in shards:
            for index, item in zip(indices, subjects[0].dataset.items(indices), strict=True):
                yield Work(item, wanted, ends_batch=index == indices[-1])

    scored = score_together([subject.lane for subject in subjects], work(), workers=workers)
    with closing(scored):
        start = time.perf_counter()
        for shard, indices, wanted in shards:
            found: dict[int, list[Outcome]] = {number: [] for number in wanted}
            for index, (_, scores) in zip(indices, scored, strict=False):
                for number in wanted:
                    one = scores[number]
                    assert one is not None
                    if one.error is not None and strict:
                        raise one.error
                    subject = subjects[number]
                    if one.scores is None:
                        assert one.error is not None
                        outcome = Outcome(reason=reason_of(one.error))
                    else:
                        label = subject.dataset.images[index].label
                        where = images[index].path
                        outcome = judge(one.scores, label, subject.answers(index), subset=subject.subset, where=where)
                    found[number].append(outcome)
                    if on_image is not None:
                        on_image(number, index, outcome)
            now = time.perf_counter()
            for number, outcomes in found.items():
                yield ScoredShard(number, shard, tuple(outcomes), (now - start) / len(wanted))
            start = time.perf_counter()


def reason_of(error: ImageError) -> str:
    """Return why an image cannot be read, without its name."""
    return f"{error.message}; {error.hint}" if error.hint else error.message
