"""A whole pass forward in the compiled engine, where it gives what the layers one by one would give.

The engine computes the net's outputs; the other blobs are computed when somebody asks for them, from the same inputs.
It is not used where something could tell the difference: in phase TRAIN, with data layers, Python layers or callbacks,
where an input is rewritten in place, or while a script holds arrays of what the net learns, which it may change unseen.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.errors import EngineUnavailableError, LoweringError, NetworkError, PrecisionError
from caffezoo.formats import caffe_pb2 as pb

if TYPE_CHECKING:
    from caffezoo.pycaffe.net import Net

MIN_MACS = 2_000_000
"""Below it the layers one by one are as quick."""


class NoEngine:
    """For nets that run layer by layer."""

    def run(self) -> bool:
        return False

    def complete(self) -> None:
        pass


class FastEngine:
    """The engine of one net at its present shapes."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._engine: Any = None
        self._seen: dict[int, bytes] = {}
        self._inputs: dict[str, np.ndarray] = {}
        self._open = False

    def run(self) -> bool:
        """Run the net; False where the layers have to run one by one."""
        net = self._net
        if not self._is_current():
            self.complete()
            return False
        inputs = {name: net.blobs[name].array for name in net._network.inputs}
        if not all(np.isfinite(x).all() for x in inputs.values()):
            self.complete()
            return False
        self._abandon()
        found = self._engine.run(inputs)
        self._inputs = {name: x.copy() for name, x in inputs.items()}
        for name, values in found.items():
            net.blobs[name].write(values)
        self._open = True
        for name, blob in net.blobs.items():
            if name not in found and name not in inputs:
                blob.fetch = self.complete
        for blobs in net._given.values():
            for blob in blobs:
                blob.fetch = self.complete
        return True

    def complete(self) -> None:
        """Compute the blobs that the engine left out, from the inputs that it saw."""
        if not self._open:
            return
        self._abandon()
        net = self._net
        now = {name: net.blobs[name].array.copy() for name in self._inputs}
        outputs = {name: net.blobs[name].array.copy() for name in net.outputs}
        for name, values in self._inputs.items():
            np.copyto(net.blobs[name].array, values)
        for index in range(len(net._network.nodes)):
            net._passes.forward(index)
        for name, values in {**now, **outputs}.items():
            np.copyto(net.blobs[name].array, values)

    def _abandon(self) -> None:
        self._open = False
        net = self._net
        for blob in (*net.blobs.values(), *(b for blobs in net._given.values() for b in blobs)):
            blob.fetch = None

    def _is_current(self) -> bool:
        """Whether the engine has the net's present weights; it is made anew where they were changed."""
        handed = [blob for blobs in self._net._given.values() for blob in blobs if blob.handed_out]
        if any(blob.is_held() for blob in handed):
            return False
        changed = self._engine is None
        for blob in handed:
            digest = hashlib.sha256(np.ascontiguousarray(blob.array).data).digest()
            changed |= self._seen.get(id(blob)) != digest
            self._seen[id(blob)] = digest
            blob.handed_out = False
        if changed:
            self._load()
        return True

    def _load(self) -> None:
        from caffezoo.engines.registry import create_engine

        net = self._net
        if self._engine is not None:
            self._engine.close()
        network = net._network.with_weights({k: [b.array for b in blobs] for k, blobs in net._given.items() if blobs})
        batch = network.batch or 1
        self._engine = create_engine("openvino", network, batch_size=batch, outputs=list(net.outputs))


def fast_engine(net: Net) -> NoEngine | FastEngine:
    """Return the engine that may run a net whole."""
    network = net._network
    rewritten = {t.name for n in network.nodes if not n.layer.is_input for t in n.tops}
    if (
        network.phase != pb.TEST
        or net._feeding.feeds
        or net._python.made
        or network.macs < MIN_MACS
        or rewritten & set(network.inputs)
        or set(network.outputs) & set(network.inputs)
    ):
        return NoEngine()
    engine = FastEngine(net)
    try:
        engine._load()
    except (EngineUnavailableError, LoweringError, NetworkError, PrecisionError):
        return NoEngine()
    for blobs in net._given.values():
        for blob in blobs:
            if blob.handed_out and not blob.is_held():
                engine._seen[id(blob)] = hashlib.sha256(np.ascontiguousarray(blob.array).data).digest()
    return engine
