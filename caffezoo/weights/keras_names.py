"""How Keras names weights: by layer and role, whatever file they are in.

A weight's name ends in its role, behind ``/`` or ``_`` and before what a backend appends: ``conv1/kernel:0``,
``conv1_W_1``. Automatic layer names (``conv2d``, ``conv2d_7``) depend on what else a session made before; what counts
is their order, so they are counted anew from 1.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

ROLE = re.compile(
    r"(?:^|[/_ ])(depthwise_kernel|pointwise_kernel|kernel|bias|gamma|beta|moving_mean|moving_variance|running_mean"
    r"|running_std|W|b)(?:_\d+)?(?::\d+)?$"
)
AUTOMATIC = re.compile(r"(conv2d|depthwise_conv2d|separable_conv2d|batch_normalization|dense)(?:_(\d+))?")

# Keras 1 called the variance a standard deviation.
_OLD_ROLES = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}
_KERNELS = ("depthwise_kernel", "kernel")
Weights = TypeVar("Weights")


def roles_of(names: Iterable[str]) -> tuple[str, ...] | None:
    """Return the roles of one layer's weights by their names, in the same order; None where a name has none.

    A depthwise convolution's only kernel is its ``kernel``; that of a separable one stays ``depthwise_kernel``.
    """
    found = [ROLE.search(name) for name in names]
    if not all(found):
        return None
    roles = tuple(_OLD_ROLES.get(m[1], m[1]) for m in found if m)
    if "pointwise_kernel" in roles:
        return roles
    return tuple("kernel" if role in _KERNELS else role for role in roles)


def counted_anew(layers: Iterable[tuple[str, Weights]]) -> list[tuple[str, Weights]]:
    """Number automatic names from 1, in their own order."""
    layers = list(layers)
    automatic: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, _ in layers:
        if match := AUTOMATIC.fullmatch(name):
            automatic[match[1]].append((int(match[2] or 0), name))
    new = {name: f"{prefix}_{i}" for prefix, found in automatic.items() for i, (_, name) in enumerate(sorted(found), 1)}
    return [(new.get(name, name), weights) for name, weights in layers]
