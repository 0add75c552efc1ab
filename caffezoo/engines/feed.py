"""What an engine is given: batches checked against the network's inputs, and filled up where a runtime takes only full
ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from caffezoo.errors import EngineError, ShapeError, UnknownNameError
from caffezoo.net.batch import batch_axis
from caffezoo.net.graph import Network

Arrays = dict[str, np.ndarray]


class Feed:
    """The inputs of a loaded network.

    Parameters
    ----------
    network : Network
        As the engine runs it, at its batch size.
    outputs : sequence of str
    shapes : mapping of str to shape
        Of every input, as batches have them: images are not blobs.
    dtype : dtype
        Of every input.
    unread : collection of str
        Inputs of the whole network that the outputs do not depend on: they may be given, and are not looked at.

    Attributes
    ----------
    batch_size : int
    free_batch : bool
        Whether the network runs at any batch size.
    """

    def __init__(
        self,
        network: Network,
        outputs: Sequence[str],
        shapes: Mapping[str, tuple[int, ...]],
        dtype: np.dtype,
        unread: Collection[str],
    ) -> None:
        axis = batch_axis(network)
        newest = {top.name: top for node in network.nodes for top in node.tops}
        self.batch_size = network.batch or 1
        self.free_batch = axis.free
        self._batched = frozenset(network.batch_inputs)
        self._sampled = frozenset(name for name in outputs if newest[name] in axis.samples)
        self._mixed = [name for name in outputs if newest[name] not in axis.samples | axis.constants]
        self._shapes = dict(shapes)
        self._dtype = dtype
        self._unread = frozenset(unread)

    def check(self, batch: np.ndarray | Mapping[str, np.ndarray]) -> tuple[Arrays, int]:
        """Return contiguous arrays by input, and how many samples they hold.

        Raises
        ------
        ShapeError
            A shape is another, inputs hold different numbers of samples, or a batch that is not full has no answer.
        EngineError
            An input is missing, of another type, or holds a value that is not finite.
        UnknownNameError
        """
        if not isinstance(batch, Mapping):
            if len(self._shapes) != 1:
                raise EngineError(f"the network has the inputs {', '.join(self._shapes)}; give all by name")
            batch = {next(iter(self._shapes)): batch}
        for name in batch:
            if name not in self._shapes and name not in self._unread:
                raise UnknownNameError("input", name, self._shapes)
        count: int | None = None
        arrays = {}
        for name in self._shapes:
            if name not in batch:
                raise EngineError(f"input '{name}' is missing")
            found = np.asarray(batch[name])
            if found.dtype != self._dtype:
                raise EngineError(f"input '{name}' is of type {found.dtype}, wanted is {self._dtype}")
            self._check_shape(name, found)
            if name in self._batched:
                if count not in (None, found.shape[0]):
                    raise ShapeError(f"input '{name}' holds {found.shape[0]} samples, another input {count}")
                count = found.shape[0]
            if found.dtype != np.uint8 and not np.isfinite(found).all():
                raise EngineError(f"input '{name}' holds a value that is not finite")
            arrays[name] = np.array(found, order="C", copy=None)
        count = self.batch_size if count is None else count
        if count != self.batch_size and self._mixed:
            raise ShapeError(
                f"output '{self._mixed[0]}' is not one value or row a sample: "
                f"it needs full batches of {self.batch_size}"
            )
        return arrays, count

    def _check_shape(self, name: str, found: np.ndarray) -> None:
        wanted, inner = self._shapes[name], ""
        if name not in self._batched:
            if found.shape != wanted:
                raise ShapeError(f"input '{name}' has shape {list(found.shape)}, wanted is {list(wanted)}")
        elif found.ndim != len(wanted) or found.shape[1:] != wanted[1:] or not 1 <= found.shape[0] <= self.batch_size:
            inner = "".join(f" x {d}" for d in wanted[1:])
            raise ShapeError(f"input '{name}' has shape {list(found.shape)}, wanted is 1..{self.batch_size}{inner}")

    def fill_up(self, arrays: Arrays, count: int) -> Arrays:
        """Return a full batch: the samples, and their first one as often as there is room."""
        missing = self.batch_size - count
        return {
            name: np.concatenate([x, np.repeat(x[:1], missing, axis=0)]) if name in self._batched else x
            for name, x in arrays.items()
        }

    def cut_off(self, tops: Arrays, count: int) -> Arrays:
        """Return the samples' own part of what a batch gave that was filled up."""
        return {name: x[:count] if name in self._sampled else x for name, x in tops.items()}
