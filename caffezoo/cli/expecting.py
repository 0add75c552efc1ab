"""``caffezoo evaluate --expect published``: whether a figure is reproduced, and if not, what is likely the cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from caffezoo.cli.console import say
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.cli.network_arguments import NetworkArguments
    from caffezoo.evaluation.expectation import Cause
    from caffezoo.evaluation.recipe import Recipe
    from caffezoo.evaluation.result import EvaluationResult
    from caffezoo.evaluation.runs.scoring import Subject


def check_expectation(expect: str | None, networks: Sequence[NetworkArguments]) -> None:
    """Refuse, before anything runs, what cannot be expected."""
    if expect not in (None, "published"):
        raise UsageError(f"--expect {expect} is unknown", hint="give --expect published")
    if expect is not None and any(one.entry is None for one in networks):
        raise UsageError("--expect published is for networks of the zoo", hint="nothing is published of a file")


def as_published(
    networks: Sequence[NetworkArguments],
    recipes: Sequence[Recipe],
    subjects: Sequence[Subject],
    results: Sequence[EvaluationResult],
    tolerance: float,
    options: Mapping[str, Any],
    workers: int,
) -> bool:
    """Say of every result whether it agrees with the published figure, and why not; True where all do."""
    from caffezoo.evaluation.expectation import deviations, explain, other_images, verdict
    from caffezoo.zoo.index import load_index

    by_name = {recipe.name: (one, recipe) for one, recipe in zip(networks, recipes, strict=True)}
    good = True
    for subject, result in zip(subjects, results, strict=True):
        one, recipe = by_name[subject.classifier.recipe.name]
        entry = one.entry
        assert entry is not None
        known = entry.preset("small")
        record = load_index(one.index).record(result.network)
        rows = (record.get("published") or {}).get("accuracy") or ()
        found = verdict(result, rows, tolerance, deviations(recipe, known))
        if found is None:
            say("warning", f"nothing is published of {result.network} at {result.protocol.name}")
            good = False
            continue
        others = other_images(subject.dataset)
        if found.holds:
            say("note", found)
            if others:
                say("note", others)
            continue
        good = False
        say("error", found)
        if others:
            say("warning", f"likely cause: other images: {others}")
        protocol = subject.classifier.protocol
        opened = {**options, "base_size": protocol.base_size, "crop_size": protocol.crop_size, "batch_size": 8}
        causes = explain(recipe, known, subject, found, opened, workers=workers, mends_only=others is not None)
        _tell(causes, others is None)
    return good


def _tell(causes: Sequence[Cause], all_tried: bool) -> None:
    if not causes and all_tried:
        tried = "channel order, resize, label order, ceil_mode, resizer and decoder"
        say("note", f"none of {tried}, exchanged one by one, brings it significantly nearer")
    for cause in causes:
        d = cause.difference
        low, high = d.interval_points
        say(
            "warning",
            f"likely cause: {cause.name}: {cause.change} changes top-1 error {d.first_percent:.2f} % to"
            f" {d.second_percent:.2f} % on {d.images} images ({d.difference_points:+.2f} [{low:+.2f}, {high:+.2f}]"
            f" points, p {d.p:.2g})",
        )
