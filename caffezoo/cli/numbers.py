"""Options that take one number, or three, or a file: ``--mean 104 117 123``, ``--mean 33.3``, ``--mean mean.npy``."""

from __future__ import annotations

from collections.abc import Sequence

NUMERIC = ("--mean", "--std")
_MOST = 3


def joined(arguments: Sequence[str]) -> list[str]:
    """Return arguments with the numbers behind ``--mean`` and ``--std``, up to three, as one argument."""
    left, found = list(arguments), []
    while left:
        argument = left.pop(0)
        found.append(argument)
        name, _, first = argument.partition("=")
        if argument == "--" or name not in NUMERIC:
            if argument == "--":
                return [*found, *left]
            continue
        numbers = [first] if first and _is_number(first) else []
        if first and not numbers:
            continue
        while left and len(numbers) < _MOST and _is_number(left[0]):
            numbers.append(left.pop(0))
        if numbers:
            found[-1:] = [name, " ".join(numbers)] if len(numbers) > 1 or not first else [argument]
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
