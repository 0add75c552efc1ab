"""What a caller gives a forward pass, as blobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from caffezoo.errors import EngineError, UnknownNameError, UsageError


def as_blobs(
    known: Iterable[str], inputs: Mapping[str, ArrayLike] | ArrayLike | None, named: Mapping[str, ArrayLike]
) -> dict[str, NDArray[np.float32]]:
    """Return arrays by input, contiguous and float32.

    Parameters
    ----------
    known : iterable of str
        The network's inputs.
    inputs : mapping of str to array, or array
        By name, or the one input's.
    named : mapping of str to array

    Raises
    ------
    UnknownNameError
        No such input.
    UsageError
        One array, and several inputs.
    EngineError
        What is given is no array of numbers.
    """
    names = list(known)
    if inputs is None:
        given = dict(named)
    elif isinstance(inputs, Mapping):
        given = {**inputs, **named}
    elif len(names) == 1:
        given = {names[0]: inputs, **named}
    else:
        raise UsageError(f"the network has the inputs {', '.join(names)}", hint="give all by name")
    blobs = {}
    for name, values in given.items():
        if name not in names:
            raise UnknownNameError("input", str(name), names)
        try:
            array = np.asarray(values)
        except ValueError as error:  # nested lists of different lengths
            raise EngineError(f"input '{name}' is no array: {error}") from None
        if array.dtype.kind not in "fiub" or not array.size:
            raise EngineError(f"input '{name}' of type {array.dtype} and shape {list(array.shape)} is no blob")
        blobs[name] = np.ascontiguousarray(array, np.float32)
    return blobs
