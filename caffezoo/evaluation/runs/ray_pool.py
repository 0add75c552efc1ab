"""Shards on many machines: an actor pool of Ray Data, whose members load the networks once.

A shard is a row. Members may join and die while a run goes on: Ray gives the shards of a dead one to another, and the
run's directory, which only this process writes, counts each once.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from caffezoo import errors
from caffezoo.errors import EngineError, UsageError, ZooError
from caffezoo.evaluation.classifier import Classifier
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.outcomes import LabelSet, Outcome
from caffezoo.evaluation.runs.ray_cluster import LOCAL, first_line, joined, rows_while_it_lives
from caffezoo.evaluation.runs.scoring import OnImage, ScoredShard, Subject, score_shards


@dataclass(frozen=True)
class Task:
    """A subject as it travels: what opens the network there, and what it is held against."""

    reopen: Callable[..., Classifier]
    batch_size: int
    dataset: Dataset
    label_sets: tuple[LabelSet, ...]
    subset: tuple[int, ...] | None


class ShardScorer:
    """A member of the pool: opens the networks when it starts, and scores a shard at a time."""

    def __init__(self, tasks: Any, threads: int) -> None:
        import ray

        found: Sequence[Task] = ray.get(tasks)
        self._failure: dict[str, Any] | None = None
        self._subjects: list[Subject] = []
        try:
            for task in found:
                classifier = task.reopen(batch_size=task.batch_size, threads=threads, streams=1)
                self._subjects.append(Subject(classifier, task.dataset, task.label_sets, task.subset))
        except ZooError as error:
            self._failure = _packed(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = [self._score(json.loads(str(text))) for text in batch["shard"]]
        return {"found": [json.dumps(row) for row in rows]}

    def _score(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if self._failure is not None:
            return {"error": self._failure}
        shards = [(wanted["shard"], range(*wanted["images"]), tuple(wanted["subjects"]))]
        try:
            return {
                "done": [
                    [one.subject, one.shard, [outcome.to_json() for outcome in one.outcomes], one.seconds]
                    for one in score_shards(self._subjects, shards, workers=1, strict=wanted["strict"])
                ],
                "pid": os.getpid(),
            }
        except ZooError as error:
            return {"error": _packed(error)}


def ray_scorer(
    address: str = LOCAL, *, members: int | None = None, threads: int = 1
) -> Callable[..., Generator[ScoredShard, None, None]]:
    """Return what scores shards on a cluster, for :func:`caffezoo.evaluation.evaluator.evaluate_together`.

    Parameters
    ----------
    address : str, optional
        Of the cluster's head (``auto``, ``ray://host:10001``, ``host:6379``); ``local``: one on this machine.
    members : int, optional
        Of the pool; as many as there are cores for if not given.
    threads : int, optional
        Cores of a member.

    Raises
    ------
    UsageError
        ray is not installed.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise UsageError("--ray needs the package ray", hint="pip install 'caffezoo[ray]'") from None

    def score(
        subjects: Sequence[Subject],
        shards: Sequence[tuple[int, range, tuple[int, ...]]],
        *,
        workers: int = 1,
        strict: bool = False,
        on_image: OnImage | None = None,
    ) -> Generator[ScoredShard, None, None]:
        rows = [
            json.dumps({"shard": k, "images": [i.start, i.stop], "subjects": list(wanted), "strict": strict})
            for k, i, wanted in shards
        ]
        found: Iterable[dict[str, Any]] = _results(address, members, threads, [_task(s) for s in subjects], rows)
        for row in found:
            if "error" in row:
                raise _unpacked(row["error"])
            for number, shard, values, seconds in row["done"]:
                outcomes = tuple(Outcome.from_json(value) for value in values)
                yield ScoredShard(number, shard, outcomes, seconds)
                if on_image is not None:
                    images = next(i for k, i, _ in shards if k == shard)
                    for image, outcome in zip(images, outcomes, strict=True):
                        on_image(number, image, outcome)

    return score


def _task(subject: Subject) -> Task:
    classifier = subject.classifier
    if classifier.reopen is None:
        raise UsageError("this network cannot be opened on another machine")
    return Task(classifier.reopen, classifier.engine.batch_size, subject.dataset, subject.label_sets, subject.subset)


def _results(
    address: str, members: int | None, threads: int, tasks: Sequence[Task], rows: Sequence[str]
) -> Generator[dict[str, Any], None, None]:
    import ray
    import ray.data
    import ray.exceptions

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        with joined(address) as head:
            cores = int(ray.cluster_resources().get("CPU", 1))
            size = max(1, min(members or cores // threads, len(rows)))
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.print_on_execution_start = False
            kept = ray.put(list(tasks))  # held here as long as a new member may ask for it
            data = ray.data.from_items([{"shard": row} for row in rows], override_num_blocks=len(rows))
            scored = data.map_batches(
                ShardScorer,
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=size),
                num_cpus=threads,
                fn_constructor_args=(kept, threads),
            )
            with closing(rows_while_it_lives(scored.iter_rows(), head, address)) as found:
                for row in found:
                    yield json.loads(str(row["found"]))
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise EngineError(
            f"the Ray cluster failed: {first_line(error)}",
            where=f"--ray {address}",
            hint="the same command goes on from here when it is there again",
        ) from None


def _packed(error: ZooError) -> dict[str, Any]:
    kind = type(error).__name__
    return {"kind": kind, "message": error.message, "where": error.where, "hint": error.hint}


def _unpacked(error: dict[str, Any]) -> ZooError:
    kind = getattr(errors, error["kind"], EngineError)
    if not issubclass(kind, ZooError) or issubclass(kind, errors.UnknownNameError):
        kind = UsageError
    found: ZooError = kind(error["message"], where=error["where"], hint=error["hint"])
    return found
