"""``caffe.Net`` as scripts know it."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.phases import filter_net
from caffezoo.formats.prototxt import Prototxt, read_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.layer import Shape
from caffezoo.pycaffe.blob import Blob, BlobVec
from caffezoo.pycaffe.errors import caffe_errors
from caffezoo.pycaffe.net_batches import NetBatches
from caffezoo.pycaffe.net_names import NetNames
from caffezoo.pycaffe.net_weights import NetWeights, shared_blob
from caffezoo.pycaffe.python_layer import PythonLayers
from caffezoo.pycaffe.state import STATE

Callback = Callable[[int], Any]
TRAIN, TEST = int(pb.TRAIN), int(pb.TEST)
PHASES = {TRAIN: "TRAIN", TEST: "TEST"}


class Net(NetNames, NetWeights, NetBatches):
    """A network whose blobs one reads and writes.

    ``Net(prototxt, phase, weights=None, level=0, stages=None)``, or ``Net(prototxt, weights, phase)`` as older scripts
    have it.

    Attributes
    ----------
    blobs : OrderedDict of str to Blob
    params : OrderedDict of str to BlobVec
        Of the layers that learn.
    layers : list of NetLayer
    layer_dict : OrderedDict of str to NetLayer
    inputs, outputs : list of str
    bottom_names, top_names : OrderedDict of str to list of str
    blob_loss_weights : OrderedDict of str to float
    """

    @caffe_errors
    def __init__(
        self,
        network_file: str | PathLike[str],
        phase_or_weights: Any = TEST,
        phase: int | None = None,
        *,
        weights: str | PathLike[str] | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
    ) -> None:
        if isinstance(phase_or_weights, str | bytes | PathLike):
            weights, chosen = os.fsdecode(phase_or_weights), phase
        else:
            chosen = phase_or_weights if phase is None else phase
        if chosen not in PHASES:
            raise TypeError(f"phase {chosen!r} is neither caffe.TRAIN nor caffe.TEST")
        prototxt = filter_net(read_prototxt(fspath(network_file)), int(chosen), level, tuple(stages or ()))
        self._begin(prototxt, int(chosen))
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def wrapping(cls, training: Any, python: PythonLayers) -> Net:
        """Return the net of a solver: it shares weights and data with a TrainingNet."""
        net = cls.__new__(cls)
        net._begin(training.network.prototxt, training.phase, training=training, python=python)
        return net

    def _begin(
        self, prototxt: Prototxt, phase: int, *, training: Any = None, python: PythonLayers | None = None
    ) -> None:
        from caffezoo.pycaffe.feeding import Feeding
        from caffezoo.training.fillers import filled_weights

        self._phase = phase
        self._python = python or PythonLayers()
        self._feeding = Feeding(prototxt, phase, STATE.seed, training)
        with self._python.at_work():
            network = Network(prototxt, self._feeding.shapes) if training is None else training.network
        if training is None:
            network = network.with_weights(filled_weights(network, STATE.next_seed()))
        self.name = network.name
        self.blobs: OrderedDict[str, Blob] = OrderedDict()
        self._given: dict[str, BlobVec] = {}
        self._callbacks: dict[str, list[Callback]] = {
            kind: [] for kind in ("before_forward", "after_forward", "before_backward", "after_backward")
        }
        self._forward_backward_ready = False
        self._engine: Any = None
        self._build(network, module=training.module if training is not None else None)
        self._feeding.begin(self.blobs)
        self._input_shapes = {name: self.blobs[name].shape for name in network.inputs}

    def _build(self, network: Network, module: Any = None) -> None:
        """Take over a network at its shapes; blobs and what is learned stay the same objects."""
        from caffezoo.net.torch_module import to_torch
        from caffezoo.pycaffe.passes import Passes, loss_weights

        self._network = network
        if module is None:
            module = to_torch(network)
        self._module = module
        for node in network.nodes:
            for top, shape in zip(node.named_tops, node.top_shapes, strict=False):
                if top.name not in self.blobs:
                    self.blobs[top.name] = Blob(shape)
                elif self.blobs[top.name].shape != tuple(shape):
                    self.blobs[top.name].reshape(*shape)
        self._share_memory()
        self._loss_weights = loss_weights(network)
        for name, weight in self._loss_weights.items():
            self.blobs[name].gradient[...] = weight
        self._passes = Passes(
            network,
            module,
            self.blobs,
            self._given,
            self._python.made,
            bool(network.prototxt.net.force_backward),
        )

    def _share_memory(self) -> None:
        """Let what torch computes with be the memory of the params' arrays."""
        import torch

        owners: dict[int, Blob] = {}
        for layer in self._module.layers:
            node = layer.node
            if node.layer.type == "Python":
                self._given[node.key] = self._python.made[node.name].blobs
                continue
            if not node.blob_shapes:
                continue
            known = self._given.setdefault(node.key, BlobVec(Blob(shape) for shape in node.blob_shapes))
            for i in range(len(known)):
                tensor = layer.blob(i)
                if tensor.data_ptr() in owners:  # shared by name: one memory, one gradient
                    known[i] = shared_blob(owners[tensor.data_ptr()], tuple(tensor.shape))
                    continue
                blob = known[i]
                if blob.array.shape != tuple(tensor.shape):
                    blob.reshape(*tensor.shape)
                if not self._forward_backward_ready:
                    np.copyto(blob.array, tensor.detach().numpy())
                with torch.no_grad():
                    tensor.data = torch.from_numpy(blob.array)
                blob.settle()
                owners[tensor.data_ptr()] = blob
        self._forward_backward_ready = True

    # Passes.

    @caffe_errors
    def forward(
        self, blobs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> dict[str, np.ndarray]:
        """Run the net, or the layers from ``start`` to ``end``.

        Parameters
        ----------
        blobs : iterable of str, optional
            Blobs to return beside the outputs.
        start, end : str, optional
            Layers.
        **kwargs
            Values of all inputs by name.

        Returns
        -------
        dict of str to ndarray
            The blobs' own arrays, not copies.
        """
        first = self._index(start) if start is not None else 0
        last = self._index(end) if end is not None else len(self._network.nodes) - 1
        wanted = [*(self.top_names[end] if end is not None else self.outputs), *(blobs or ())]
        if kwargs:
            self._fill(kwargs)
        self._forward(first, last)
        return {name: self._blob(name).data for name in dict.fromkeys(wanted)}

    @caffe_errors
    def backward(
        self, diffs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> dict[str, np.ndarray]:
        """Run the net backward, or the layers from ``start`` down to ``end``.

        Parameters
        ----------
        diffs : iterable of str, optional
            Blobs whose gradients to return beside those of the inputs.
        start, end : str, optional
            Layers; ``start`` is the later one.
        **kwargs
            Gradients of all outputs by name; what stands in ``diff`` counts if not given.
        """
        first = self._index(start) if start is not None else len(self._network.nodes) - 1
        last = self._index(end) if end is not None else 0
        wanted = [*(self.bottom_names[end] if end is not None else self.inputs), *(diffs or ())]
        if kwargs:
            if set(kwargs) != set(self.outputs):
                raise ValueError(f"gradients are given for {sorted(kwargs)}, the net's outputs are {self.outputs}")
            for name, values in kwargs.items():
                values = np.asarray(values)
                if values.shape[:1] != self.blobs[name].shape[:1]:
                    raise ValueError(f"the gradient of '{name}' is not of the batch's size")
                self.blobs[name].diff[...] = values
        self._backward(first, last)
        return {name: self._blob(name).diff for name in dict.fromkeys(wanted)}

    def _forward(self, first: int, last: int) -> float:
        self._follow_shapes()
        nodes = self._network.nodes
        if first == 0 and last == len(nodes) - 1 and self._run_fast():
            return 0.0
        self._compute()
        total = 0.0
        for index in range(first, last + 1):
            self._call("before_forward", index)
            self._feeding.fill(nodes[index].name, self.blobs)
            self._passes.forward(index)
            self._call("after_forward", index)
            for top in nodes[index].named_tops:
                weight = self._loss_weights.get(top.name)
                if weight is not None:
                    total += weight * float(self.blobs[top.name].array.sum())
        return total

    def _backward(self, first: int, last: int) -> None:
        self._compute()
        written: set[Any] = set()
        for index in range(first, last - 1, -1):
            self._call("before_backward", index)
            self._passes.backward(index, written)
            self._call("after_backward", index)

    @caffe_errors
    def reshape(self) -> None:
        """Give all blobs the shapes that follow from the inputs' present ones."""
        self._follow_shapes()

    @caffe_errors
    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Give a MemoryData layer its images (N, C, H, W) and N labels."""
        self._feeding.set_arrays(data, labels)

    def before_forward(self, function: Callback) -> None:
        """Call a function with each layer's index before it runs."""
        self._callbacks["before_forward"].append(function)

    def after_forward(self, function: Callback) -> None:
        """Call a function with each layer's index after it ran."""
        self._callbacks["after_forward"].append(function)

    def before_backward(self, function: Callback) -> None:
        """Call a function with each layer's index before it runs backward."""
        self._callbacks["before_backward"].append(function)

    def after_backward(self, function: Callback) -> None:
        """Call a function with each layer's index after it ran backward."""
        self._callbacks["after_backward"].append(function)

    # Inside.

    def _run_fast(self) -> bool:
        """Run the whole net in the compiled engine where that gives the same; False where it does not."""
        from caffezoo.pycaffe.fast import fast_engine

        if any(self._callbacks.values()):
            return False
        if self._engine is None:
            self._engine = fast_engine(self)
        return bool(self._engine.run())

    def _compute(self) -> None:
        """Compute the inner blobs of a pass that the engine ran without them."""
        if self._engine is not None:
            self._engine.complete()

    def _follow_shapes(self) -> None:
        """Follow inputs that were given another shape."""
        shapes: dict[str, Shape] = {name: self.blobs[name].shape for name in self._network.inputs}
        if shapes == self._input_shapes:
            return
        self._compute()
        with self._python.at_work():
            weights = {k: v for k, v in self._arrays().items() if k in self._network.weights}
            network = Network(self._network.prototxt, shapes, weights)
        self._engine = None
        self._input_shapes = shapes
        self._build(network)

    def _index(self, layer: str) -> int:
        names = self._layer_names
        if layer not in names:
            raise ValueError(f"'{layer}' is no layer of the net; layers are {', '.join(names[:20])}")
        return names.index(layer)

    def _blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise KeyError(f"'{name}' is no blob of the net")
        return self.blobs[name]

    def _fill(self, values: Mapping[str, Any]) -> None:
        if set(values) != set(self.inputs):
            raise ValueError(f"values are given for {sorted(values)}, the net's inputs are {self.inputs}")
        for name, given in values.items():
            given = np.asarray(given)
            if given.shape[:1] != self.blobs[name].shape[:1]:
                raise ValueError(
                    f"input '{name}' is for {self.blobs[name].shape[:1]} samples, given are {given.shape[:1]}"
                )
            self.blobs[name].data[...] = given

    def _call(self, kind: str, index: int) -> None:
        for function in self._callbacks[kind]:
            function(index)

    def __repr__(self) -> str:
        return f"<Net '{self.name}', {PHASES[self._phase]}, {len(self._network.nodes)} layers>"
