"""Which of a network's sources are asked, in which order, and why the others are passed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffezoo.errors import UsageError
from caffezoo.weights.failures import OfflineError, UnsuitableError
from caffezoo.weights.sources import SOURCES, WeightsFacts, place_of

NETWORK_SCHEMES = ("https", "hf", "gdrive", "baidu")


@dataclass(frozen=True)
class RankedSource:
    """A source with its number in the index, from 1."""

    number: int
    facts: WeightsFacts


def ranked(weights: Sequence[WeightsFacts], chosen: str | None = None) -> list[RankedSource]:
    """Return the sources in the order in which they are asked: the index's, those reported dead last.

    Parameters
    ----------
    weights : sequence of WeightsFacts
    chosen : str, optional
        A scheme, or a number in the index: only these.

    Raises
    ------
    UsageError
        ``chosen`` is neither.
    """
    sources = [RankedSource(number, facts) for number, facts in enumerate(weights, 1)]
    if chosen is not None:
        if chosen.isdecimal():
            if int(chosen) not in range(1, len(sources) + 1):
                known = f"1 to {len(sources)}" if sources else "none"
                raise UsageError(
                    f"there is no source {chosen}, the index has {known}", hint="`fetch --list` shows them"
                )
            sources = [sources[int(chosen) - 1]]
        elif chosen in SOURCES:
            sources = [source for source in sources if source.facts.scheme == chosen]
        else:
            raise UsageError(f"--source takes a number or one of {', '.join(SOURCES)}, not '{chosen}'")
    return sorted(sources, key=lambda source: source.facts.state == "reported-dead")


def check_suitable(facts: WeightsFacts, *, offline: bool) -> None:
    """Say why a source is not asked.

    Raises
    ------
    UnsuitableError
        It holds no weights for this network: never published, trained otherwise, or of another structure.
    OfflineError
        It would need the network.
    """
    where = place_of(facts)
    if facts.state == "never-published":
        raise UnsuitableError("its weights were never published")
    if facts.training == "other":
        raise UnsuitableError(
            "passed over, another training's weights, not those of the published figures", where=where
        )
    if facts.layout == "merged-batchnorm":
        raise UnsuitableError("passed over, BatchNorm is merged into its weights: another prototxt's", where=where)
    if offline and facts.scheme in NETWORK_SCHEMES:
        raise OfflineError("not asked, --offline", where=where)
