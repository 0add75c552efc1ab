"""Runs on the same images, compared pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.outcomes import Outcome
from caffezoo.evaluation.runs.folder import open_finished
from caffezoo.evaluation.statistics import PairedDifference, holm


@dataclass(frozen=True)
class FinishedRun:
    """A run to compare.

    Attributes
    ----------
    name : str
        Network, and protocol where runs share the network.
    path : Path
    identity : dict
    label_sets : tuple of str
    outcomes : tuple of Outcome
    """

    name: str
    path: Path
    identity: dict[str, Any]
    label_sets: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    def wrong(self, label_set: str, top: int) -> list[bool | None]:
        """Return whether each image is wrong at top-k; None where it does not count or cannot be read."""
        number = self.label_sets.index(label_set)
        found: list[bool | None] = []
        for outcome in self.outcomes:
            rank = outcome.ranks[number] if outcome.reason is None else None
            found.append(None if rank is None else rank >= top)
        return found


@dataclass(frozen=True)
class Pair:
    """Two runs by one label set; ``corrected_p`` is by Holm over all pairs of that set."""

    first: str
    second: str
    label_set: str
    difference: PairedDifference
    corrected_p: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; errors in percent, differences in points."""
        d = self.difference
        return {
            "first": self.first,
            "second": self.second,
            "label_set": self.label_set,
            "images": d.images,
            "first_error": d.first_percent,
            "second_error": d.second_percent,
            "only_first_wrong": d.first_wrong,
            "only_second_wrong": d.second_wrong,
            "difference": d.difference_points,
            "interval": list(d.interval_points),
            "p": d.p,
            "corrected_p": self.corrected_p,
        }


@dataclass(frozen=True)
class RankChange:
    """A run whose place among the runs, 1 the best, is another by another label set."""

    run: str
    places: tuple[tuple[str, int], ...]


def run_folders(path: Path) -> list[Path]:
    """Return the run that a directory is, or those that are in it."""
    if (path / "run.json").exists() or not path.is_dir():
        return [path]
    return sorted(below for below in path.iterdir() if (below / "run.json").exists()) or [path]


def open_runs(paths: Sequence[Path]) -> list[FinishedRun]:
    """Open runs to compare.

    Raises
    ------
    DataError
        One is no finished run, or they are not of the same images.
    """
    found = []
    for path in (below for given in paths for below in run_folders(given)):
        run = open_finished(path)
        outcomes = tuple(outcome for _, outcome in run.outcomes())
        sets = tuple(run.identity.get("label_sets") or ())
        found.append((path, run.identity, sets, outcomes))
    first = found[0]
    for path, identity, _, _ in found[1:]:
        if identity.get("image_names_sha256") != first[1].get("image_names_sha256"):
            raise DataError(
                f"it is of other images than {first[0]}",
                where=str(path),
                hint="only runs over the same images, in the same order, are pairs",
            )
    return [
        FinishedRun(name, path, identity, sets, outcomes)
        for name, (path, identity, sets, outcomes) in zip(_names(found), found, strict=True)
    ]


def compare(runs: Sequence[FinishedRun], *, top: int = 1) -> tuple[list[Pair], list[RankChange]]:
    """Compare all pairs of runs by every label set that all of them have.

    Raises
    ------
    UsageError
        Fewer than two runs.
    DataError
        No label set, or no image, in common.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run is no pair", hint="name two or more")
    common = [name for name in runs[0].label_sets if all(name in run.label_sets for run in runs)]
    if not common:
        raise DataError(
            f"they have no label set in common: {'; '.join(','.join(run.label_sets) for run in runs)}",
            hint="evaluate with the same --labels",
        )
    pairs: list[Pair] = []
    places: dict[str, list[tuple[str, int]]] = {run.name: [] for run in runs}
    for label_set in common:
        wrong = [run.wrong(label_set, top) for run in runs]
        differences = [_paired(wrong[a], wrong[b], runs[a], runs[b]) for a, b in combinations(range(len(runs)), 2)]
        corrected = holm([difference.p for difference in differences])
        for (one, other), difference, p in zip(combinations(runs, 2), differences, corrected, strict=True):
            pairs.append(Pair(one.name, other.name, label_set, difference, p))
        errors = [sum(1 for w in found if w) / max(1, sum(w is not None for w in found)) for found in wrong]
        for run, error in zip(runs, errors, strict=True):
            places[run.name].append((label_set, 1 + sum(other < error for other in errors)))
    changes = [RankChange(name, tuple(at)) for name, at in places.items() if len({place for _, place in at}) > 1]
    return pairs, changes


def _paired(
    first: Sequence[bool | None], second: Sequence[bool | None], one: FinishedRun, other: FinishedRun
) -> PairedDifference:
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not pairs:
        raise DataError(f"no image was scored by both {one.name} and {other.name}", where=str(one.path))
    return PairedDifference(
        len(pairs), pairs.count((True, False)), pairs.count((False, True)), pairs.count((True, True))
    )


def _names(found: Sequence[tuple[Path, dict[str, Any], tuple[str, ...], tuple[Outcome, ...]]]) -> list[str]:
    """Names that tell runs apart: the network, then the protocol, then the path."""
    said = [
        (path, str(identity.get("network")), identity.get("protocol", {}).get("name"), identity.get("precision"))
        for path, identity, _, _ in found
    ]
    ways = (
        [network for _, network, _, _ in said],
        [f"{network} {protocol}" for _, network, protocol, _ in said],
        [f"{network} {precision}" for _, network, _, precision in said],
        [str(path) for path, _, _, _ in said],
    )
    for names in ways:
        if len(set(names)) == len(names):
            return names
    raise UsageError("a run is named twice")
