"""Agreement: two forms of a network on the same inputs, blob by blob and answer by answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffezoo.engines.registry import DEFAULT_ENGINE, create_engine
from caffezoo.engines.seeding import seeded_inputs
from caffezoo.errors import NetworkError
from caffezoo.net.graph import Network

Batch = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class BlobDelta:
    """Largest absolute difference of a blob over all inputs, and the largest absolute value of the first form's."""

    blob: str
    largest: float
    scale: float

    @property
    def relative(self) -> float:
        return self.largest / self.scale if self.scale else (0.0 if self.largest == 0 else np.inf)


@dataclass(frozen=True)
class Agreement:
    """How two networks compare over a number of inputs.

    Attributes
    ----------
    samples : int
    blobs : tuple of BlobDelta
        In the second network's order; the outputs are among them.
    output : str
        The blob that the answers are read from.
    top1_differs : int
        Samples whose largest output is another one. Equal largest values (ties) do not count.
    top1_not_in_five : int
        Samples whose largest output of the first network is not among the second's five largest.
    """

    samples: int
    blobs: tuple[BlobDelta, ...]
    output: str
    top1_differs: int
    top1_not_in_five: int

    @property
    def worst(self) -> BlobDelta:
        """The blob with the largest relative difference."""
        return max(self.blobs, key=lambda b: b.relative)


def agreement(
    first: Network,
    second: Network,
    batches: Iterable[Batch],
    *,
    batch_size: int,
    engine: str = DEFAULT_ENGINE,
    second_engine: str | None = None,
    blobs: Sequence[str] | None = None,
    caffe_python: str | None = None,
    threads: int | None = None,
) -> Agreement:
    """Run two forms of a network on the same inputs and compare.

    Parameters
    ----------
    first, second : Network
        With weights and the same inputs.
    batches : iterable of mapping of str to ndarray
        Input blobs, at most ``batch_size`` samples each.
    engine, second_engine : str
        What runs them; the first's if the second is not given.
    blobs : sequence of str, optional
        Blobs to compare; all that both networks have, outside inputs, if not given.

    Raises
    ------
    NetworkError
        They have no blob in common.
    EngineError
    """
    if blobs is None:
        blobs = common_blobs(first, second)
    if not blobs:
        raise NetworkError("the networks have no blob in common", where=f"{first.path}, {second.path}")
    output = next((name for name in reversed(first.outputs) if name in blobs), blobs[-1])
    options: dict[str, Any] = {
        "batch_size": batch_size,
        "outputs": list(blobs),
        "threads": threads,
        "caffe_python": caffe_python,
    }
    largest, scale = dict.fromkeys(blobs, 0.0), dict.fromkeys(blobs, 0.0)
    samples = differs = not_in_five = 0
    with (
        create_engine(engine, first, **options) as one,
        create_engine(second_engine or engine, second, **options) as other,
    ):
        for batch in batches:
            wanted, found = one.run(batch), other.run(batch)
            for name in blobs:
                largest[name] = max(largest[name], float(np.abs(wanted[name] - found[name]).max(initial=0)))
                scale[name] = max(scale[name], float(np.abs(wanted[name]).max(initial=0)))
            a, b = (x[output].reshape(len(x[output]), -1) for x in (wanted, found))
            samples += len(a)
            top = a.argmax(axis=1)
            rows = np.arange(len(a))
            differs += int((b.max(axis=1) > b[rows, top]).sum())
            not_in_five += int(((b > b[rows, top][:, None]).sum(axis=1) >= 5).sum())
    deltas = tuple(BlobDelta(name, largest[name], scale[name]) for name in blobs)
    return Agreement(samples, deltas, output, differs, not_in_five)


def common_blobs(first: Network, second: Network) -> list[str]:
    """Return the blobs that both networks make, inputs left out, in the second's order."""
    made = {top.name for node in first.nodes for top in node.tops}
    names = dict.fromkeys(top.name for node in second.nodes for top in node.tops)
    return [name for name in names if name in made and name not in second.inputs]


def drawn_batches(network: Network, samples: int, batch_size: int) -> Iterable[Batch]:
    """Yield seeded inputs of values within -2..2, the same on every machine."""
    for start in range(0, samples, batch_size):
        yield seeded_inputs(network, start, batch=min(batch_size, samples - start))
