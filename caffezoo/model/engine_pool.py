"""The engines of one model: started when they are first needed, shared by threads, freed together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.engines.registry import create_engine
from caffezoo.errors import EngineError, UsageError
from caffezoo.evaluation.classifier import Classifier, choose_protocol, open_classifier
from caffezoo.evaluation.recipe import Recipe
from caffezoo.net.batch import possible_batch
from caffezoo.net.cutting import cut

if TYPE_CHECKING:
    from caffezoo.engines.base import Engine
    from caffezoo.evaluation.protocol import Protocol
    from caffezoo.net.graph import Network

KEPT_ENGINES = 4
"""Engines of this many sets of input shapes are kept: the one that was used longest ago makes room."""


@dataclass(frozen=True)
class RunOptions:
    """What runs a model, and how.

    Attributes
    ----------
    engine, precision : str
    outputs : tuple of str or None
        Blobs that :meth:`Model.forward` returns; the network's outputs if None.
    batch_size : int
        Images in a batch.
    scores : str or None
        The blob of a classifier's scores, where it is not the one that the network's shape tells.
    crops : int
        Views of an image whose probabilities are averaged.
    workers : int
        Threads that decode images.
    engine_options : mapping
        ``threads``, ``gpu``, ``caffe_python``: see :func:`caffezoo.engines.registry.create_engine`.
    """

    engine: str = "openvino"
    precision: str = "float32"
    outputs: tuple[str, ...] | None = None
    batch_size: int = 8
    scores: str | None = None
    crops: int = 1
    workers: int = 2
    engine_options: Mapping[str, Any] = field(default_factory=dict)


class EnginePool:
    """Engines of one network: for images by batch size, for arrays by their shapes.

    Parameters
    ----------
    network : Network
        With weights.
    recipe : Recipe or None
        How it sees images.
    options : RunOptions
    """

    def __init__(self, network: Network, recipe: Recipe | None, options: RunOptions) -> None:
        self._network, self._recipe, self._options = network, recipe, options
        self._lock = threading.RLock()
        self._closed = False
        self._for_arrays: OrderedDict[Any, Engine] = OrderedDict()
        self._for_images: dict[tuple[int, tuple[str, ...]], Engine] = {}
        self._classifiers: dict[int, Classifier] = {}

    @property
    def recipe(self) -> Recipe:
        """How the network sees images.

        Raises
        ------
        UsageError
            Nobody says.
        """
        if self._recipe is None:
            raise UsageError(
                "nobody says what was subtracted from images in training",
                where=self._network.path,
                hint="give mean=(B, G, R) to caffezoo.load, or --mean B G R to a command; 0 for none",
            )
        return self._recipe

    @property
    def protocol(self) -> Protocol:
        """How an image becomes the network's input."""
        return choose_protocol(self.recipe, self._network.inputs, crops=self._options.crops)[0]

    def classifier(self, batch: int) -> Classifier:
        """Return the network with its scores, for batches of images of this size."""
        o = self._options
        with self._lock:
            self._check_open()
            if batch not in self._classifiers:
                self._classifiers[batch] = open_classifier(
                    self.recipe,
                    crops=o.crops,
                    output=o.scores,
                    engine=o.engine,
                    batch_size=batch,
                    network=self._network,
                    precision=o.precision,
                    **o.engine_options,
                )
            return self._classifiers[batch]

    def image_engine(self, batch: int, blobs: tuple[str, ...]) -> Engine:
        """Return an engine that gives blobs for batches of images."""
        with self._lock:
            self._check_open()
            if (batch, blobs) not in self._for_images:
                protocol = self.protocol
                network = self._network.resized(*protocol.crop_size)
                self._for_images[batch, blobs] = self._create(
                    network,
                    batch_size=possible_batch(network, batch),
                    transform=protocol.transform,
                    input_dtype=protocol.input_dtype,
                    outputs=list(blobs),
                )
            return self._for_images[batch, blobs]

    def run(self, feed: Mapping[str, NDArray[np.float32]], outputs: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        """Run the part of the network that some blobs depend on, at the shapes of these arrays."""
        key = (outputs, tuple((name, x.shape) for name, x in sorted(feed.items())))
        with self._lock:  # the engine must not make room for another before it has run
            self._check_open()
            if key not in self._for_arrays:
                part = cut(self._network, outputs)
                for name in part.inputs:
                    if name not in feed:
                        raise EngineError(f"input '{name}' is missing", where=self._network.path)
                part = part.reshaped({name: x.shape for name, x in feed.items() if name in part.inputs})
                while len(self._for_arrays) >= KEPT_ENGINES:
                    self._for_arrays.popitem(last=False)[1].close()
                self._for_arrays[key] = self._create(part, outputs=list(outputs))
            self._for_arrays.move_to_end(key)
            engine = self._for_arrays[key]
            return engine.run({name: x for name, x in feed.items() if name in engine.input_shapes})

    def close(self) -> None:
        """Free every engine; none can be had afterwards."""
        with self._lock:
            self._closed = True
            engines = [*self._for_arrays.values(), *self._for_images.values()]
            for engine in (*engines, *(c.engine for c in self._classifiers.values())):
                engine.close()
            self._for_arrays.clear()
            self._for_images.clear()
            self._classifiers.clear()

    def _create(self, network: Network, **how: Any) -> Engine:
        o = self._options
        return create_engine(o.engine, network, precision=o.precision, **how, **o.engine_options)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the model is closed", where=self._network.path)
