"""A key for every layer of a net: its name, and something of its own where a name stands twice.

Caffe lets layers share a name, or have none. What is kept by layer (weights above all) needs to tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable


def layer_keys(names: Iterable[str]) -> tuple[str, ...]:
    """Return a key for every layer name, in order: the first layer of a name keeps it, later ones get ``name#2`` ...

    Examples
    --------
    >>> layer_keys(["conv", "crop", "crop"])
    ('conv', 'crop', 'crop#2')
    """
    wanted = list(names)
    taken = set(wanted)
    seen: set[str] = set()
    keys = []
    for name in wanted:
        key, count = name, 1
        while key in seen or (count > 1 and key in taken):
            count += 1
            key = f"{name}#{count}"
        seen.add(key)
        keys.append(key)
    return tuple(keys)
