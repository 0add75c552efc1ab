"""``cv2.dnn.Net`` of OpenCV 4, on the zoo's engines. Its names are OpenCV's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffezoo.cv2dnn.errors import CaffeNetError, cv2_errors
from caffezoo.engines.base import Engine
from caffezoo.engines.registry import DEFAULT_ENGINE, create_engine
from caffezoo.errors import UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.cutting import cut
from caffezoo.net.graph import Network
from caffezoo.net.node import Node
from caffezoo.opencv import load_cv2

INPUT = "_input"
KEPT_ENGINES = 8
"""Compiled parts that a net keeps, one for each layer that is asked for; the eldest goes first."""


@dataclass(frozen=True)
class NetLayer:
    """A layer as ``getLayer`` returns it: name, type and learned blobs."""

    name: str
    type: str
    blobs: tuple[np.ndarray, ...]


class Net:
    """A net of which layers are asked by name.

    Parameters
    ----------
    network : Network, optional
        An empty net if not given.
    """

    def __init__(self, network: Network | None = None) -> None:
        self._network = network
        self._values: dict[str, np.ndarray] = {}
        self._engines: OrderedDict[int, Engine] = OrderedDict()
        self._ticks = 0

    def empty(self) -> bool:
        """Whether there is no layer."""
        return self._network is None

    @cv2_errors
    def setInput(
        self, blob: np.ndarray, name: str = "", scalefactor: float = 1.0, mean: Sequence[float] | float = ()
    ) -> None:
        """Give an input its values, ``scalefactor * (blob - mean)``; another shape reshapes the net at ``forward``.

        Parameters
        ----------
        blob : ndarray
            NCHW for images, float32 or uint8.
        name : str
            Of the input; the first where empty.
        mean : float or sequence of float
            One of every channel (axis 1).
        """
        network = self._read()
        inputs = tuple(network.inputs)
        chosen = name or inputs[0]
        if chosen not in inputs:
            raise UnknownNameError("input", chosen, inputs, where=network.path)
        values = np.asarray(blob)
        if values.dtype.kind not in "fiu" or not values.size:
            raise CaffeNetError(f"input '{chosen}' is given {values.size} values of type {values.dtype}")
        values = values.astype(np.float32)
        means = np.atleast_1d(np.asarray(mean, np.float32))
        if means.any():
            channels = values.shape[1] if values.ndim > 1 else 1
            if means.size < channels:
                raise CaffeNetError(f"{means.size} means for {channels} channels of input '{chosen}'")
            values -= means[:channels].reshape(-1, *[1] * (values.ndim - 2))
        self._values[chosen] = np.ascontiguousarray(values * np.float32(scalefactor))

    @cv2_errors
    def forward(self, outputName: str | Sequence[str] | None = None) -> Any:
        """Run the net up to a layer.

        Parameters
        ----------
        outputName : str or sequence of str, optional
            Names of layers, not of blobs; the last layer where not given.

        Returns
        -------
        ndarray, or list of ndarray
            The first top of the layer, float32, as it is right after this layer; a list for a sequence of names.
        """
        cv2 = load_cv2()
        network = self._reshape()
        started = cv2.getTickCount()
        if outputName is None or isinstance(outputName, str):
            last = len(network.nodes) - 1
            found: Any = self._run(network, self._index(outputName) if outputName else last)
        else:
            found = [self._run(network, self._index(name)) for name in outputName]
        self._ticks = cv2.getTickCount() - started
        return found

    def getLayerNames(self) -> tuple[str, ...]:
        """Return the layers' names in order, inputs left out."""
        return tuple(node.name for node in self._layers())

    def getLayerTypes(self) -> tuple[str, ...]:
        """Return the types that occur, Caffe's names."""
        return tuple(sorted({node.layer.type for node in self._layers()}))

    def getLayersCount(self, layerType: str) -> int:
        """Return how many layers of a type there are."""
        return sum(node.layer.type == layerType for node in self._layers())

    def getLayerId(self, layer: str) -> int:
        """Return a layer's number, from 1 (0 is the input); -1 where there is none."""
        names = (INPUT, *self.getLayerNames())
        return names.index(layer) if layer in names else -1

    @cv2_errors
    def getLayer(self, layerId: int | str) -> NetLayer:
        """Return a layer by number or name."""
        if layerId in (0, INPUT):
            return NetLayer(INPUT, "", ())
        node = self._node(layerId)
        return NetLayer(node.name, node.layer.type, tuple(self._read().weights.get(node.key, ())))

    def getUnconnectedOutLayers(self) -> np.ndarray:
        """Return the numbers of the layers of which no layer reads any top, int32."""
        layers = self._layers()
        read = {blob for node in layers for blob in node.bottoms}
        return np.array([i for i, node in enumerate(layers, 1) if not read & set(node.tops)], np.int32)

    def getUnconnectedOutLayersNames(self) -> tuple[str, ...]:
        """Return the names of the layers of which no layer reads any top."""
        names = self.getLayerNames()
        return tuple(names[i - 1] for i in self.getUnconnectedOutLayers())

    @cv2_errors
    def getParam(self, layer: int | str, numParam: int = 0) -> np.ndarray:
        """Return a copy of a learned blob."""
        return self._blobs(layer, numParam)[numParam].copy()

    @cv2_errors
    def setParam(self, layer: int | str, numParam: int, blob: np.ndarray) -> None:
        """Replace a learned blob by one of its shape; it counts at the next forward."""
        blobs = list(self._blobs(layer, numParam))
        given = np.array(blob, np.float32)
        if given.size == blobs[numParam].size:
            given = given.reshape(blobs[numParam].shape)
        blobs[numParam] = given
        network = self._read()
        self._network = network.with_weights({**network.weights, self._node(layer).key: tuple(blobs)})
        self._drop_engines()

    @cv2_errors
    def getFLOPS(self, netInputShape: Sequence[Any]) -> int:
        """Return two for each multiply-accumulate of convolutions, fully connected layers and their like, at a shape
        of the first input or a list of shapes of all inputs."""
        network = self._read()
        shapes = netInputShape if np.ndim(netInputShape[0]) else [netInputShape]
        given = {name: tuple(int(d) for d in s) for name, s in zip(network.inputs, shapes, strict=False)}
        return 2 * network.reshaped(given).macs

    def getPerfProfile(self) -> tuple[int, np.ndarray]:
        """Return the ticks of the last forward, and no times of layers: they are compiled into one program."""
        return self._ticks, np.empty((0, 1))

    def setPreferableBackend(self, backendId: int) -> None:
        """Accepted; the net runs in OpenVINO on the CPU whatever is preferred."""

    def setPreferableTarget(self, targetId: int) -> None:
        """Accepted; the net runs in float32 on the CPU whatever is preferred."""

    # Inside.

    def _read(self) -> Network:
        if self._network is None:
            raise CaffeNetError("the net is empty", hint="readNetFromCaffe gives one")
        return self._network

    def _layers(self) -> list[Node]:
        return [] if self._network is None else [node for node in self._network.nodes if not node.layer.is_input]

    def _node(self, layer: int | str) -> Node:
        layers = self._layers()
        number = self.getLayerId(layer) if isinstance(layer, str) else int(layer)
        if not 1 <= number <= len(layers):
            if isinstance(layer, str):
                raise UnknownNameError("layer", layer, self.getLayerNames(), where=self._read().path)
            raise CaffeNetError(f"no layer {layer}; they are 1 to {len(layers)}", where=self._read().path)
        return layers[number - 1]

    def _blobs(self, layer: int | str, number: int) -> tuple[np.ndarray, ...]:
        node = self._node(layer)
        blobs = self._read().weights.get(node.key, ())
        if not 0 <= number < len(blobs):
            raise CaffeNetError(f"it has {len(blobs)} learned blobs, not number {number}", where=node.layer.label)
        return blobs

    def _index(self, name: str) -> int:
        return self._read().nodes.index(self._node(name))

    def _reshape(self) -> Network:
        network = self._read()
        shapes = {name: values.shape for name, values in self._values.items()}
        if any(network.inputs[name] != shape for name, shape in shapes.items()):
            network = self._network = network.reshaped(shapes)
            self._drop_engines()
        return network

    def _drop_engines(self) -> None:
        while self._engines:
            self._engines.popitem()[1].close()

    def _run(self, network: Network, index: int) -> np.ndarray:
        engine = self._engines.get(index)
        top = network.nodes[index].tops[0].name
        if engine is None:
            engine = create_engine(DEFAULT_ENGINE, _up_to(network, index, top), outputs=[top])
            self._engines[index] = engine
            if len(self._engines) > KEPT_ENGINES:
                self._engines.popitem(last=False)[1].close()
        missing = [name for name in engine.network.inputs if name not in self._values]
        if missing:
            raise CaffeNetError(f"input '{missing[0]}' has no values", where=network.path, hint="setInput gives them")
        return engine.run({name: self._values[name] for name in engine.network.inputs})[top]


def _up_to(network: Network, index: int, top: str) -> Network:
    """Return the part that a layer's top depends on, without the layers behind it that may write into the same blob."""
    nodes = network.nodes[: index + 1]
    net = pb.NetParameter(layer=[node.layer.proto for node in nodes])
    weights = {node.key: network.weights.held(node.key) for node in nodes if node.key in network.weights}
    inputs = {t.name for node in nodes if node.layer.is_input for t in node.tops}
    shapes = {name: shape for name, shape in network.inputs.items() if name in inputs}
    return cut(network.rewritten(net, network.prototxt.lines[: index + 1], weights, inputs=shapes), [top])
