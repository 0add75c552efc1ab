"""The seam for engines: one small class a runtime.

An engine is made for one network, batch size and precision, and says after loading what it really runs. A precision
that the device cannot do is an error, never a silent fallback.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from caffezoo.engines.program import EVERYTHING, PRECISIONS, arithmetic_of, network_to_run
from caffezoo.errors import EngineError, PrecisionError, ShapeError, UnknownNameError, UsageError
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform

if TYPE_CHECKING:
    import onnx

INPUT_DTYPES = ("uint8", "float32")


@dataclass(frozen=True)
class Installation:
    """A runtime as it is installed here.

    Attributes
    ----------
    version : str
    devices : tuple of str
    precisions : tuple of str
        What these devices can run.
    """

    version: str
    devices: tuple[str, ...]
    precisions: tuple[str, ...]


class Engine(ABC):
    """Runs one network on batches.

    Parameters
    ----------
    network : Network
        With weights.
    batch_size : int, optional
        Largest batch that :meth:`run` takes, and the one that it is tuned for. With None the network runs at its own
        shapes, which need not have a batch axis in common, and takes inputs of just these.
    transform : Transform, optional
        If given, batches are images (n, H, W, 3) in BGR order, and normalisation and layout are the engine's work.
        Otherwise batches are Caffe's blobs.
    outputs : sequence of str, optional
        Blobs to return; the network's outputs if not given.
    input_dtype : {"uint8", "float32"}
        Type of image batches; only with ``transform``.
    precision : {"float32", "float16", "bfloat16", "float16-storage", "float16-all"}
        Of the arithmetic, or of what is rounded around it: see :mod:`caffezoo.engines.program`.
    threads : int, optional
        The runtime's own choice if not given.
    profile : bool
        Let the runtime time its operators, for :meth:`operator_seconds`.

    Attributes
    ----------
    version, device, precision : str
        Of the runtime as it is loaded.
    threads : int
        0 where the runtime does not tell.

    Raises
    ------
    EngineUnavailableError
        If the runtime is not installed or does not start.
    PrecisionError
        If it cannot run this precision on this device.
    BindingError, LoweringError
        If the network has no weights, or a layer no exact form for this runtime.
    """

    name: ClassVar[str]
    version: str = ""
    device: str = ""
    precision: str = "float32"
    threads: int = 0
    rounds_every_layer: ClassVar[bool] = False
    _closed: bool = False

    def __init__(
        self,
        network: Network,
        *,
        batch_size: int | None = 1,
        transform: Transform | None = None,
        outputs: Sequence[str] | None = None,
        input_dtype: str = "uint8",
        precision: str = "float32",
        threads: int | None = None,
        profile: bool = False,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch size {batch_size} is not positive")
        if threads is not None and threads < 1:
            raise UsageError(f"{threads} threads are not positive")
        if precision not in PRECISIONS:
            raise UnknownNameError("precision", precision, PRECISIONS)
        if precision == EVERYTHING and not self.rounds_every_layer:
            raise PrecisionError(
                "it cannot round after every layer", where=f"engine {self.name}", hint="engine torch runs float16-all"
            )
        if input_dtype not in INPUT_DTYPES:
            raise UnknownNameError("input type", input_dtype, INPUT_DTYPES)
        self.network = network.reshaped(batch=batch_size)
        self.fixed_shapes = batch_size is None
        self.batch_size = batch_size or next((s[0] for s in network.inputs.values() if s), 1)
        self.profile = profile
        self.transform = transform
        self.outputs = tuple(outputs) if outputs is not None else self.network.outputs
        self.input_dtype = np.dtype(input_dtype if transform is not None else "float32")
        self.input_shapes = dict(self.network.inputs)
        for name in self.outputs:
            self.network.shape(name)  # raises with the nearest names
        if transform is not None:
            self.input_shapes = _image_shape(self.network)
        self.asked_precision = precision
        self._open(arithmetic_of(precision), threads)
        if arithmetic_of(precision) != precision:
            self.precision = precision

    def run(self, batch: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network on up to ``batch_size`` samples.

        Parameters
        ----------
        batch : ndarray or mapping of str to ndarray
            With a transform: (n, H, W, 3) BGR of ``input_dtype``. Without: Caffe's input blobs by name, or the blob of
            a network with one input, float32.

        Returns
        -------
        dict of str to ndarray
            The wanted blobs, float32, n along axis 0.

        Raises
        ------
        ShapeError
            If a batch is of another shape.
        EngineError
            If it is of another type, holds a value that is not finite, or the runtime fails.
        """
        found = self.prepare(batch)()
        if self.transform is not None:
            for name, scores in found.items():
                if not np.isfinite(scores).all():
                    raise EngineError(f"output '{name}' holds a value that is not finite", where=f"engine {self.name}")
        return found

    def prepare(self, batch: np.ndarray | Mapping[str, np.ndarray]) -> Callable[[], dict[str, np.ndarray]]:
        """Check a batch as :meth:`run` does, and return a function that runs it: what a timer repeats.

        Raises
        ------
        ShapeError, EngineError
        """
        if self._closed:
            raise EngineError("it is closed", where=f"engine {self.name}")
        feed = self._feed(batch)
        count = self.batch_size if self.fixed_shapes else next(iter(feed.values())).shape[0]
        return lambda: self._infer(feed, count)

    def operator_seconds(self) -> list[tuple[str, str, float]]:
        """Return name, kind and seconds of the runtime's own operators, in order, in the last run (the median of the
        runs since the last call where the runtime writes them all down).

        Raises
        ------
        EngineError
            If it was not loaded with ``profile``, or does not report its operators.
        """
        raise EngineError("it does not report the time of its operators", where=f"engine {self.name}")

    def close(self) -> None:
        """Free what the engine holds; it cannot run afterwards."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    @abstractmethod
    def probe(cls) -> Installation:
        """Return what is installed of this runtime.

        Raises
        ------
        EngineUnavailableError
            If it is not installed, or does not start.
        """

    @abstractmethod
    def _open(self, precision: str, threads: int | None) -> None:
        """Start the runtime on ``self.network``, to compute in a precision, and set version, device, precision and
        threads."""

    @abstractmethod
    def _infer(self, feed: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        """Run ``count`` checked samples."""

    @abstractmethod
    def _close(self) -> None:
        """Free the runtime."""

    def _feed(self, batch: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not isinstance(batch, Mapping):
            if len(self.input_shapes) != 1:
                raise EngineError(f"the network has the inputs {', '.join(self.input_shapes)}; give all by name")
            batch = {next(iter(self.input_shapes)): batch}
        for name in batch:
            if name not in self.input_shapes:
                raise UnknownNameError("input", name, self.input_shapes)
        count: int | None = None
        feed = {}
        for name, wanted in self.input_shapes.items():
            if name not in batch:
                raise EngineError(f"input '{name}' is missing")
            found = np.asarray(batch[name])
            if found.dtype != self.input_dtype:
                raise EngineError(f"input '{name}' is of type {found.dtype}, wanted is {self.input_dtype}")
            self._check_shape(name, found.shape, tuple(wanted))
            if not self.fixed_shapes and count not in (None, found.shape[0]):
                raise ShapeError(f"input '{name}' holds {found.shape[0]} samples, another input {count}")
            if found.dtype != np.uint8 and not np.isfinite(found).all():
                raise EngineError(f"input '{name}' holds a value that is not finite")
            count = self.batch_size if self.fixed_shapes else found.shape[0]
            feed[name] = np.ascontiguousarray(found)
        return feed

    def _check_shape(self, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
        if self.fixed_shapes:
            fits, said = found == wanted, str(list(wanted))
        else:
            fits = len(found) == len(wanted) and found[1:] == wanted[1:] and 1 <= found[0] <= self.batch_size
            said = f"1..{self.batch_size} x {' x '.join(str(d) for d in wanted[1:])}"
        if not fits:
            raise ShapeError(f"input '{name}' has shape {list(found)}, wanted is {said}")

    def _onnx(self) -> onnx.ModelProto:
        """Return the network as ONNX, folded where no wanted blob lies inside it."""
        from caffezoo.net.onnx_graph import to_onnx

        return to_onnx(
            network_to_run(self.network, self.outputs, self.asked_precision),
            outputs=self.outputs,
            transform=self.transform,
            input_dtype=str(self.input_dtype),
        )

    def _pad(self, feed: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        """Fill a batch up with its first sample, for runtimes whose batch is fixed."""
        missing = self.batch_size - count
        if not missing:
            return feed
        self._check_batch_axis()
        return {name: np.concatenate([x, np.repeat(x[:1], missing, axis=0)]) for name, x in feed.items()}

    def _check_batch_axis(self) -> None:
        """Raise if an output mixes samples: then a batch that is not full has no answer."""
        for name in self.outputs:
            if self.network.shape(name)[:1] != (self.batch_size,):
                raise ShapeError(f"output '{name}' has no batch axis: it needs full batches of {self.batch_size}")


def _image_shape(network: Network) -> dict[str, tuple[int, ...]]:
    if len(network.inputs) != 1:
        raise ShapeError(f"images need a network with one input, this has {len(network.inputs)}", where=network.path)
    ((name, shape),) = network.inputs.items()
    if len(shape) != 4 or shape[1] != 3:
        raise ShapeError(f"input '{name}' has shape {list(shape)}, images need N x 3 x H x W", where=network.path)
    return {name: (shape[0], *shape[2:], 3)}
