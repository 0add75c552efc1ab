"""The seam for engines: one small class a runtime.

An engine is made for one network, batch size and precision, and says after loading what it really runs. A precision
that the device cannot do is an error, never a silent fallback.
"""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from caffezoo.engines.feed import Feed
from caffezoo.engines.program import EVERYTHING, PRECISIONS, arithmetic_of, network_to_run
from caffezoo.engines.quantised import INT8, quantised_model
from caffezoo.errors import EngineError, OutOfMemoryError, PrecisionError, ShapeError, UnknownNameError, UsageError
from caffezoo.net.batch import at_batch
from caffezoo.net.cutting import cut
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform

if TYPE_CHECKING:
    import onnx

INPUT_DTYPES = ("uint8", "float32")

# How runtimes say so: std::bad_alloc of OpenVINO and onnxruntime, CUDA's of torch and Caffe.
_OUT_OF_MEMORY = re.compile(r"out of memory|bad_alloc|cannot allocate|failed to allocate|not enough memory", re.I)


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
        With weights. Only what the outputs depend on is run, and asked for.
    batch_size : int, optional
        Largest batch that :meth:`run` takes, and the one that it is tuned for. The network's own if not given; some
        networks run at no other (:mod:`caffezoo.net.batch`).
    transform : Transform, optional
        If given, batches are images (n, H, W, C) in the order of the network's channels, and normalisation and layout
        are the engine's work.
        Otherwise batches are Caffe's blobs.
    outputs : sequence of str, optional
        Blobs to return; the network's outputs if not given.
    input_dtype : {"uint8", "float32"}
        Type of image batches; only with ``transform``.
    precision : {"float32", "float16", "bfloat16", "int8", "float16-storage", "float16-all"}
        Of the arithmetic, or of what is rounded around it: see :mod:`caffezoo.engines.program`.
    threads : int, optional
        The runtime's own choice if not given.
    profile : bool
        Let the runtime time its operators, for :meth:`operator_seconds`.
    streams : int
        Batches that :meth:`run` may be given at a time, from as many threads of the caller's, where the runtime can.

    Attributes
    ----------
    batch_size : int
    input_shapes : dict of str to shape
        Of what :meth:`run` has to be given.
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
    ShapeError
        If the network does not run at this batch size.
    """

    name: ClassVar[str]
    version: str = ""
    device: str = ""
    precision: str = "float32"
    threads: int = 0
    streams: int = 1
    """Batches that it runs at a time, for as many threads."""
    rounds_every_layer: ClassVar[bool] = False
    takes_streams: ClassVar[bool] = False
    fixed_batch: bool = True
    """Whether the runtime was loaded for full batches only: then one that is not full is filled up."""
    _closed: bool = False

    def __init__(
        self,
        network: Network,
        *,
        batch_size: int | None = None,
        transform: Transform | None = None,
        outputs: Sequence[str] | None = None,
        input_dtype: str = "uint8",
        precision: str = "float32",
        threads: int | None = None,
        profile: bool = False,
        streams: int = 1,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch size {batch_size} is not positive")
        if threads is not None and threads < 1:
            raise UsageError(f"{threads} threads are not positive")
        if streams < 1 or (streams > 1 and not self.takes_streams):
            raise UsageError(f"{streams} streams", where=f"engine {self.name}", hint="it runs one batch at a time")
        self.streams = streams
        if precision not in PRECISIONS:
            raise UnknownNameError("precision", precision, PRECISIONS)
        if precision == EVERYTHING and not self.rounds_every_layer:
            raise PrecisionError(
                "it cannot round after every layer", where=f"engine {self.name}", hint="engine torch runs float16-all"
            )
        if input_dtype not in INPUT_DTYPES:
            raise UnknownNameError("input type", input_dtype, INPUT_DTYPES)
        self._lock = threading.Lock()
        self.outputs = tuple(outputs) if outputs is not None else network.outputs
        self.network = self._part(network) if batch_size is None else at_batch(self._part(network), batch_size)
        self.profile = profile
        self.transform = transform
        self.input_dtype = np.dtype(input_dtype if transform is not None else "float32")
        self.input_shapes = dict(self.network.inputs)
        if transform is not None:
            self.input_shapes = _image_shape(self.network)
        unread = set(network.inputs) - set(self.network.inputs)
        self._feed = Feed(self.network, self.outputs, self.input_shapes, self.input_dtype, unread)
        self.batch_size = self._feed.batch_size
        self.fixed_batch = not self._feed.free_batch
        self.asked_precision = precision
        self._open(arithmetic_of(precision), threads)
        if arithmetic_of(precision) != precision:
            self.precision = precision

    def run(self, batch: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network on up to ``batch_size`` samples; threads may share an engine, and wait for each other.

        Parameters
        ----------
        batch : ndarray or mapping of str to ndarray
            With a transform: (n, H, W, C) of ``input_dtype``. Without: Caffe's input blobs by name, or the blob of a
            network with one input, float32. Inputs that the outputs do not depend on may be left out.

        Returns
        -------
        dict of str to ndarray
            The wanted blobs, float32; n along axis 0 where they hold one value or row a sample.

        Raises
        ------
        ShapeError
            If a batch is of another shape.
        EngineError
            If it is of another type, holds a value that is not finite, or the runtime fails.
        OutOfMemoryError
            If the memory does not hold it.
        """
        try:
            with self._lock if self.streams == 1 else nullcontext():  # a runtime's request holds one batch at a time
                found = self.prepare(batch)()
        except MemoryError:
            raise OutOfMemoryError(f"no memory for a batch of {self.batch_size}", where=f"engine {self.name}") from None
        except EngineError as error:
            if _OUT_OF_MEMORY.search(error.message):
                raise OutOfMemoryError(error.message, where=error.where, hint=error.hint) from None
            raise
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
        arrays, count = self._feed.check(batch)
        if count == self.batch_size or not self.fixed_batch:
            return lambda: self._infer(arrays)
        full = self._feed.fill_up(arrays, count)
        return lambda: self._feed.cut_off(self._infer(full), count)

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
        """Free what the engine holds, once no other thread runs it; it cannot run afterwards."""
        with self._lock:
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
    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run a checked batch, full where ``fixed_batch`` is set, and return arrays of the caller's own."""

    @abstractmethod
    def _close(self) -> None:
        """Free the runtime."""

    def _part(self, network: Network) -> Network:
        """Return what has to be run of a network."""
        return cut(network, self.outputs)

    def _onnx(self, arrays: dict[str, np.ndarray] | None = None) -> onnx.ModelProto:
        """Return the network as ONNX, folded where no wanted blob lies inside it; ``arrays`` as in ``to_onnx``."""
        from caffezoo.net.onnx_graph import to_onnx
        from caffezoo.net.onnx_image import with_image_input

        if self.asked_precision == INT8:
            model = quantised_model(self.network, self.outputs)
            return model if self.transform is None else with_image_input(model, self.transform, str(self.input_dtype))
        return to_onnx(
            network_to_run(self.network, self.outputs, self.asked_precision),
            outputs=self.outputs,
            transform=self.transform,
            input_dtype=str(self.input_dtype),
            arrays=arrays,
        )


def _image_shape(network: Network) -> dict[str, tuple[int, ...]]:
    if len(network.inputs) != 1:
        raise ShapeError(f"images need a network with one input, this has {len(network.inputs)}", where=network.path)
    ((name, shape),) = network.inputs.items()
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise ShapeError(
            f"input '{name}' has shape {list(shape)}, images need N x 3 x H x W or N x 1 x H x W", where=network.path
        )
    return {name: (shape[0], *shape[2:], shape[1])}
