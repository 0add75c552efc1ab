"""An engine for networks with layers that run on the host: compiled parts, and numpy between them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffezoo.engines.base import Engine, Installation
from caffezoo.errors import EngineError
from caffezoo.net.graph import Network
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import BlobId
from caffezoo.net.node import Node
from caffezoo.net.partition import EnginePart, has_host_layers, partition
from caffezoo.net.transform import Transform, to_blob


class PartitionedEngine(Engine):
    """See :class:`~caffezoo.engines.base.Engine`: runs each part of the network in an engine of ``runtime``, and the
    host layers between the parts.

    A blob whose length only data give (boxes that are left) enters a compiled part padded to the most that there can
    be, and what comes of the padding is cut off behind it.

    Parameters
    ----------
    runtime : type of Engine
        What runs the compiled parts.
    own : mapping of str to object
        Options that only this runtime has: ``gpu``, ``caffe_python``.
    """

    name = "partitioned"

    def __init__(
        self,
        network: Network,
        *,
        runtime: type[Engine],
        own: dict[str, Any] | None = None,
        batch_size: int | None = None,
        transform: Transform | None = None,
        outputs: Sequence[str] | None = None,
        input_dtype: str = "uint8",
        precision: str = "float32",
        threads: int | None = None,
        profile: bool = False,
    ) -> None:
        self._runtime = runtime
        self._own = own or {}
        self.name = runtime.name  # type: ignore[misc]
        self.rounds_every_layer = runtime.rounds_every_layer  # type: ignore[misc]
        super().__init__(
            network,
            batch_size=batch_size,
            transform=transform,
            outputs=outputs,
            input_dtype=input_dtype,
            precision=precision,
            threads=threads,
            profile=profile,
        )

    @classmethod
    def probe(cls) -> Installation:
        raise NotImplementedError("ask the runtime of the parts")

    def _open(self, precision: str, threads: int | None) -> None:
        self._plan = partition(self.network, self.outputs, lambda node: runs_on_host(node, self._runtime))
        self._engines: dict[int, Engine] = {}
        self._host_seconds: list[tuple[str, str, float]] = []
        self._whole_image = self._image_goes_to_one_part()
        try:
            for i, part in enumerate(self._plan.parts):
                if isinstance(part, EnginePart):
                    self._engines[i] = self._open_part(part, precision, threads)
        except BaseException:
            self._close()
            raise
        first = next(iter(self._engines.values()), None)
        if first is None:
            found = self._runtime.probe()
            self.version, self.device, self.precision = found.version, found.devices[0], precision
        else:
            self.version, self.device, self.precision = first.version, first.device, first.precision
            self.threads = first.threads

    def _open_part(self, part: EnginePart, precision: str, threads: int | None) -> Engine:
        takes_image = self._whole_image and set(part.inputs) & set(self._plan.sources)
        return self._runtime(
            part.network,
            batch_size=None,
            transform=self.transform if takes_image else None,
            outputs=tuple(part.outputs.values()),
            input_dtype=str(self.input_dtype) if takes_image else "float32",
            precision=self.asked_precision,
            threads=threads,
            profile=self.profile,
            **self._own,
        )

    def _image_goes_to_one_part(self) -> bool:
        """Whether the pixels can go into a part as they are: no other part and no host layer reads them."""
        if self.transform is None:
            return False
        readers = [part for part in self._plan.parts if set(_read(part)) & set(self._plan.sources)]
        return len(readers) == 1 and isinstance(readers[0], EnginePart) and len(readers[0].inputs) == 1

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.transform is not None and not self._whole_image:
            feed = {name: to_blob(x, self.transform) for name, x in feed.items()}
        values: dict[BlobId, np.ndarray] = {blob: feed[name] for blob, name in self._plan.sources.items()}
        self._host_seconds = []
        for i, part in enumerate(self._plan.parts):
            if isinstance(part, EnginePart):
                self._run_part(part, self._engines[i], values)
                continue
            for node in part.nodes:
                start = time.perf_counter()
                self._run_host(node, values)
                self._host_seconds.append((node.key, node.layer.type, time.perf_counter() - start))
        return {name: np.array(values[blob], np.float32) for name, blob in self._plan.outputs.items()}

    def _run_part(self, part: EnginePart, engine: Engine, values: dict[BlobId, np.ndarray]) -> None:
        lengths: dict[BlobId, int] = {}
        feed = {}
        for blob, name in part.inputs.items():
            x = values[blob]
            if blob in self._plan.sources:
                feed[name] = x
                continue
            wanted = self._plan.shapes[blob]
            if x.shape[1:] != wanted[1:] or len(x) > wanted[0]:
                raise EngineError(
                    f"blob '{blob.name}' has shape {list(x.shape)} for these data, and layers behind it are compiled "
                    f"for {list(wanted)}",
                    where=f"engine {self._runtime.name}",
                )
            lengths[blob] = len(x)
            feed[name] = np.ascontiguousarray(_padded(x, wanted[0]))
        found = engine._infer(feed)
        for blob, name in part.outputs.items():
            source = part.rows.get(blob)
            x = found[name].reshape(self._plan.shapes[blob])
            length = len(values[source]) if source in values else None
            values[blob] = x if length is None else x[:length]

    def _run_host(self, node: Node, values: dict[BlobId, np.ndarray]) -> None:
        layer = node.layer
        assert isinstance(layer, HostLayer)
        bottoms = [np.asarray(values[b], np.float32) for b in node.bottoms]
        tops = layer.host(bottoms, self.network.weights.get(node.key, ()))
        for blob, top in zip(node.tops, tops, strict=True):
            values[blob] = np.asarray(top, np.float32)

    def operator_seconds(self) -> list[tuple[str, str, float]]:
        """See :meth:`Engine.operator_seconds`; host layers are timed by this engine's own clock."""
        found: list[tuple[str, str, float]] = []
        for engine in self._engines.values():
            found += engine.operator_seconds()
        return found + self._host_seconds

    def _close(self) -> None:
        for engine in self._engines.values():
            engine.close()
        self._engines = {}


def runs_on_host(node: Node, runtime: type[Engine]) -> bool:
    """Whether an engine leaves a layer to the host: real Caffe runs what it has itself."""
    layer = node.layer
    return layer.on_host and not (runtime.name == "caffe" and isinstance(layer, HostLayer) and layer.in_caffe)


def needs_host(network: Network, outputs: Sequence[str] | None, runtime: type[Engine]) -> bool:
    """Whether a runtime alone cannot run what the wanted outputs depend on."""
    return has_host_layers(network, outputs, lambda node: runs_on_host(node, runtime))


def _read(part: Any) -> list[BlobId]:
    if isinstance(part, EnginePart):
        return list(part.inputs)
    return [blob for node in part.nodes for blob in node.bottoms]


def _padded(x: np.ndarray, length: int) -> np.ndarray:
    """Return x with its first row (zeros where it has none) repeated up to a length."""
    missing = length - len(x)
    if not missing:
        return x
    filler = x[:1] if len(x) else np.zeros((1, *x.shape[1:]), x.dtype)
    return np.concatenate([x, np.repeat(filler, missing, axis=0)])
