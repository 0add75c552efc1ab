"""Which of a network's naming schemes a foreign file has, by its tensors' names."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from fnmatch import fnmatchcase

from caffezoo.errors import BindingError, SourceError, UnknownNameError
from caffezoo.zoo.tensor_map import TensorMap, refusal, tensor_maps

# Whose tensor maps a framework's files go through: TensorFlow.js has Keras' layers, names and axes.
_MAPS = {"tfjs": "keras"}


def maps_of(network: str, framework: str, readable: Container[str]) -> dict[str, TensorMap]:
    """Return a network's tensor maps by scheme.

    Raises
    ------
    SourceError
        There is none, or no reader for the framework's files; with the reason where one is known.
    """
    named = _MAPS.get(framework, framework)
    maps = tensor_maps(network, named) if framework in readable else {}
    if not maps:
        reason = refusal(network, named)
        if reason is not None:
            raise SourceError(f"{framework} weights cannot become {network}'s exactly: {reason}")
        raise SourceError(f"{framework} weights cannot be converted for {network} by this version")
    return maps


def choose_scheme(
    network: str, maps: Mapping[str, TensorMap], state: Mapping[str, object], scheme: str | None, *, where: str
) -> str:
    """Return the scheme whose names a file has.

    Raises
    ------
    UnknownNameError
        No such scheme.
    BindingError
        The names fit none, or are no proof of the one that they fit; the message lists what was tried.
    """
    if scheme is not None:
        if scheme not in maps:
            raise UnknownNameError("naming scheme", scheme, maps, where=network)
        return scheme
    found = {name: faults(state, mapping) for name, mapping in maps.items()}
    for name, mapping in maps.items():
        if not any(found[name]):
            if mapping.explicit:
                raise BindingError(
                    f"its names fit {name}, but another network of the same names and shapes does not",
                    where=where,
                    hint=f"if it is {', '.join(mapping.models)}, say --scheme {name}",
                )
            return name
    if len(maps) == 1:
        return next(iter(maps))  # whose faults are then reported one by one
    nearest = min(found, key=lambda name: sum(map(len, found[name])))
    raise BindingError(
        f"the tensors have none of the names known for {network} (tried {', '.join(maps)}); nearest is {nearest}: "
        f"{describe(*found[nearest])}",
        where=where,
        hint="is this another network's file?",
    )


def wanted_tensors(mapping: TensorMap) -> set[str]:
    """Return the tensors that a map reads."""
    return {s.tensor for sources in mapping.layers.values() for s in sources if s.tensor is not None}


def faults(state: Mapping[str, object], mapping: TensorMap) -> tuple[list[str], list[str]]:
    """Return the tensors that are missing, and those that have no place."""
    wanted = wanted_tensors(mapping)
    strange = [
        name
        for name in state
        if name not in wanted and not any(fnmatchcase(name, pattern) for pattern in mapping.unused)
    ]
    return sorted(wanted - set(state)), strange


def describe(missing: Sequence[str], strange: Sequence[str]) -> str:
    """Say what :func:`faults` found."""
    parts = [f"{len(missing)} tensors are missing: {few(missing)}"] if missing else []
    parts += [f"{len(strange)} tensors have no place: {few(strange)}"] if strange else []
    return ", ".join(parts)


def few(names: Sequence[str]) -> str:
    """Name the first three, and count the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
