"""What a solver says while it trains: the lines of ``caffe train``, which people's scripts read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from caffezoo.training.net import Output
from caffezoo.training.updates import Update


class TrainLog:
    """Lines without glog's prefix, handed to ``write``."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self._last = (0, time.perf_counter())

    def begin(self, iteration: int) -> None:
        """Start the clock of the first line."""
        self._last = (iteration, time.perf_counter())

    def iteration(self, iteration: int, loss: float, display: int, outputs: Sequence[Output]) -> None:
        """Say speed, loss and the train net's outputs."""
        before, then = self._last
        now = time.perf_counter()
        lapse = now - then
        per_second = (iteration - before) / lapse if lapse else 1.0
        speed = f"({per_second:.6g} iter/s, {lapse:.6g}s/{display} iters)"
        self.write(f"Iteration {iteration} {speed}, loss = {number_text(loss)}")
        self._last = (iteration, now)
        self.outputs("Train", outputs)

    def outputs(self, which: str, outputs: Sequence[Output]) -> None:
        """Say every value of a net's outputs."""
        number = 0
        for output in outputs:
            for value in output.values:
                weight = output.loss_weight
                loss = f" (* {number_text(weight)} = {number_text(weight * float(value))} loss)" if weight else ""
                self.write(f"    {which} net output #{number}: {output.name} = {number_text(float(value))}{loss}")
                number += 1

    def clipping(self, limit: float, update: Update) -> None:
        """Say that gradients are scaled down, where they are."""
        if limit >= 0 and (norm := update.clip_norm()) > limit:
            self.write(
                f"Gradient clipping: scaling down gradients (L2 norm {number_text(norm)} > {number_text(limit)}) "
                f"by scale factor {number_text(limit / norm)}"
            )


def number_text(value: float) -> str:
    """Return a number as C++ streams print a float: six significant digits."""
    return f"{value:.6g}"
