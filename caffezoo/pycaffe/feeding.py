"""What fills the tops of data layers before they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from caffezoo.errors import UsageError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import Prototxt
from caffezoo.net.layer import Shape
from caffezoo.net.registry import make_layer
from caffezoo.pycaffe.blob import Blob


class Feeding:
    """The data layers of a net, with what they read.

    Parameters
    ----------
    prototxt : Prototxt
        Of one phase.
    phase : int
    seed : int or None
    training : TrainingNet, optional
        A solver's net, whose sources these are.

    Attributes
    ----------
    feeds : dict of str to Prefetcher
        By layer name.
    shapes : dict of str to Shape
        Of their tops.
    """

    def __init__(self, prototxt: Prototxt, phase: int, seed: int | None, training: Any = None) -> None:
        self.feeds: dict[str, Any] = {}
        self.shapes: dict[str, Shape] = {}
        self._protos: dict[str, pb.LayerParameter] = {}
        for proto in prototxt.net.layer:
            if proto.type in ("Input", "Python") or not make_layer(proto, prototxt.path, phase).is_input:
                continue
            self.feeds[proto.name] = self._feed(proto, prototxt.path, phase, seed, training)
            self._protos[proto.name] = proto
            self.shapes.update(zip(proto.top, self.feeds[proto.name].feed.shapes, strict=True))

    @staticmethod
    def _feed(proto: pb.LayerParameter, path: str, phase: int, seed: int | None, training: Any) -> Any:
        from caffezoo.training.feeds.base import FeedOptions, Prefetcher, make_feed

        if training is not None:
            return Prefetcher(training.feeds[proto.name])
        options = FeedOptions(seed=seed if seed is not None else int(np.random.SeedSequence().generate_state(1)[0]))
        return Prefetcher(make_feed(proto, phase, make_layer(proto, path, phase).label, options))

    def begin(self, blobs: Mapping[str, Blob]) -> None:
        """Fill what a layer fills once: DummyData's constants, which scripts may then change for good."""
        for name, proto in self._protos.items():
            if proto.type == "DummyData":
                for top, values in zip(proto.top, self.feeds[name].feed.read(0), strict=True):
                    blobs[top].write(values)

    def fill(self, layer: str, blobs: Mapping[str, Blob]) -> None:
        """Write the next batch into a data layer's tops."""
        if layer not in self.feeds:
            return
        proto = self._protos[layer]
        for i, (top, values) in enumerate(zip(proto.top, self.feeds[layer].next(), strict=True)):
            if not (proto.type == "DummyData" and _is_constant(proto, i)):
                blobs[top].write(np.asarray(values, np.float32))

    def set_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Give the first MemoryData layer its arrays.

        Raises
        ------
        UsageError
            The net has none.
        """
        for name, proto in self._protos.items():
            if proto.type == "MemoryData":
                self.feeds[name].feed.set_arrays(data, labels)
                return
        raise UsageError("set_input_arrays is for a net with a MemoryData layer")


def _is_constant(proto: pb.LayerParameter, top: int) -> bool:
    fillers = proto.dummy_data_param.data_filler
    if not fillers:
        return True
    return fillers[top if len(fillers) > 1 else 0].type == "constant"
