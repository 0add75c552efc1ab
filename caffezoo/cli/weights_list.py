"""``caffezoo fetch --list`` and ``--dry-run``: where weights are, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caffezoo.weights.options import FetchOptions
    from caffezoo.weights.sources import WeightsFacts
    from caffezoo.zoo.entry import NetworkEntry

CONVERTED = ("torch", "keras")


def print_sources(entries: Iterable[NetworkEntry]) -> None:
    """Print every source of every network with its state."""
    from caffezoo.weights.sources import place_of

    for entry in entries:
        print(entry.name)
        for number, facts in enumerate(entry.weights, 1):
            size = f"{facts.bytes:,} bytes" if facts.bytes else facts.size_text or "size not known"
            remark = _remark(facts)
            print(
                f"  {number}  {facts.state:<15}  {facts.scheme or '-':<6}  {facts.format:<10}  {size:<18}  "
                f"{place_of(facts)}{f'  ({remark})' if remark else ''}"
            )
        if not entry.weights:
            print("  no source known")


def print_plan(entries: Iterable[NetworkEntry], options: FetchOptions) -> None:
    """Print what a fetch would do: sources in the order in which they would be asked, and why others would not be."""
    from caffezoo.errors import ZooError
    from caffezoo.weights.fitness import recipe_of
    from caffezoo.weights.sources import place_of
    from caffezoo.weights.suitability import check_suitable, ranked

    for entry in entries:
        print(entry.name)
        step = 0
        for source in ranked(entry.weights, options.source):
            facts = source.facts
            try:
                check_suitable(facts, offline=options.offline)
                converted = "" if not recipe_of(facts, entry) else ", to be converted"
            except ZooError as error:
                print(f"  -   source {source.number}: {error}")
            else:
                step += 1
                print(
                    f"  {step:<2}  source {source.number}: {place_of(facts)} ({facts.state}, {facts.format}{converted})"
                )


def markdown(entries: Iterable[NetworkEntry]) -> str:
    """Return the table of ``docs/weights.md``: a line a network, its sources in the order in which they are asked."""
    from caffezoo.weights.suitability import ranked

    lines = ["| network | sources | not used: another training, or another prototxt's |", "|---|---|---|"]
    for entry in entries:
        used = [f"{s.number}. {_cell(s.facts)}" for s in ranked(entry.weights) if _is_used(s.facts)]
        others = [_cell(facts) for facts in entry.weights if not _is_used(facts) and facts.state != "never-published"]
        if not used:
            published = any(facts.state != "never-published" for facts in entry.weights)
            used = ["none known" if published or not entry.weights else "never published"]
        lines.append(f"| {entry.name} | {'<br>'.join(used)} | {'<br>'.join(others)} |")
    return "\n".join(lines) + "\n"


def _is_used(facts: WeightsFacts) -> bool:
    return facts.state != "never-published" and facts.training != "other" and facts.layout != "merged-batchnorm"


def _remark(facts: WeightsFacts) -> str:
    if facts.training == "other":
        return "another training's, never used"
    if facts.layout == "merged-batchnorm":
        return "BatchNorm merged, another prototxt's, never used"
    remarks = ["training not known"] if facts.training == "unknown" else []
    remarks += ["training net, loads"] if facts.layout == "training-net" else []
    return ", ".join(remarks)


def _cell(facts: WeightsFacts) -> str:
    from caffezoo.weights.sources import HUB_URL, place_of

    place = place_of(facts)
    if facts.scheme == "gdrive":
        place = f"[gdrive](https://drive.google.com/file/d/{facts.id}/view)"
    elif facts.scheme == "hf":
        place = f"[hf {facts.id}]({HUB_URL}/{facts.id})"
    elif facts.url:
        host = facts.url.split("/")[2]
        place = f"[{host}]({facts.url})"
    hashed = facts.archive if facts.archive is not None and facts.format == "tfjs" else facts
    algorithm = hashed.checksum[0] if hashed.checksum else None
    known = algorithm or ("sha256 prefix" if hashed.sha256_prefix else "no hash")
    words = [
        facts.format,
        facts.state,
        known,
        *([_remark(facts)] if facts.training != "other" and _remark(facts) else []),
    ]
    return f"{place}: {', '.join(words)}"
