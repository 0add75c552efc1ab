"""``caffe test``: a net's outputs over some batches.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from caffezoo.training.net import TrainingNet
from caffezoo.training.train_log import number_text


def score_batches(net: TrainingNet, batches: int, log: Callable[[str], None]) -> list[tuple[str, float]]:
    """Run a net on its data and log every output, then the means, as ``caffe test`` does.

    Returns
    -------
    list of (str, float)
        The mean of every value of every output.
    """
    log(f"Running for {batches} iterations.")
    sums: list[float] = []
    names: list[tuple[str, float]] = []
    loss = 0.0
    with torch.no_grad():
        for batch in range(batches):
            loss += float(net.forward())
            values = [(o.name, o.loss_weight, float(v)) for o in net.results() for v in o.values]
            for name, _, value in values:
                log(f"Batch {batch}, {name} = {number_text(value)}")
            names = [(name, weight) for name, weight, _ in values]
            sums = [a + b for a, (_, _, b) in zip(sums or [0.0] * len(values), values, strict=True)]
    log(f"Loss: {number_text(loss / max(batches, 1))}")
    means = [total / batches for total in sums]
    for (name, weight), mean in zip(names, means, strict=True):
        lost = f" (* {number_text(weight)} = {number_text(weight * mean)} loss)" if weight else ""
        log(f"{name} = {number_text(mean)}{lost}")
    return [(name, mean) for (name, _), mean in zip(names, means, strict=True)]
