"""What the flags of ``evaluate`` mean: several networks, label sets, sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from caffezoo.cli.network_arguments import NetworkArguments
from caffezoo.errors import UsageError

MAX_SIZES = 64


def each_network(arguments: NetworkArguments) -> list[NetworkArguments]:
    """Return the networks that ``--net`` names: one, or those that patterns with commas between match."""
    if arguments.name is None or not set(arguments.name) & set("*?[,"):
        return [arguments]
    from caffezoo.zoo.index import load_index

    index = load_index(arguments.index)
    names: list[str] = []
    for pattern in filter(None, (part.strip() for part in arguments.name.split(","))):
        found = index.names(pattern) if set(pattern) & set("*?[") else [index.resolve(pattern)]
        if not found:
            raise UsageError(f"no network is named like '{pattern}'", hint="`caffezoo list` names them")
        names += found
    if arguments.weights is not None and len(set(names)) > 1:
        raise UsageError(f"--weights is of one network, and {len(set(names))} are named")
    return [replace(arguments, name=name) for name in dict.fromkeys(names)]


def parse_labels(text: str | None) -> list[str]:
    """Return the label sets of ``2012,real,FILE``."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def list_among(sets: Sequence[str], data: str | None) -> str | None:
    """Return the label set that is a list, for data that do not say themselves what they are."""
    from caffezoo.data.label_sets import LABEL_SETS

    files = [one for one in sets if one not in LABEL_SETS]
    return files[0] if files and len(files) == len(sets) and data != "sample" else None


def parse_sizes(text: str) -> list[int]:
    """Return the sizes in px of ``256,288`` or ``224..416:16``.

    Raises
    ------
    UsageError
        It is neither.
    """
    sizes: list[int] = []
    for part in text.split(","):
        span = re.fullmatch(r"\s*(\d{1,5})(?:\.\.(\d{1,5})(?::(\d{1,5}))?)?\s*", part)
        if span is None:
            raise UsageError(f"'{text}' are no sizes", hint="such as 256,288,320 or 224..416:16")
        first = int(span[1])
        sizes += [first] if span[2] is None else range(first, int(span[2]) + 1, max(1, int(span[3] or 1)))
    if not sizes or len(sizes) > MAX_SIZES or len(set(sizes)) < len(sizes):
        raise UsageError(f"'{text}' are {len(sizes)} sizes", hint=f"give 1 to {MAX_SIZES} different ones")
    return sizes
