"""``caffe.Net`` as scripts know it."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.phases import filter_net
from caffezoo.formats.prototxt import Prototxt, read_prototxt
from caffezoo.net.binding import bind
from caffezoo.net.graph import Network
from caffezoo.net.layer import Shape
from caffezoo.pycaffe.blob import Blob, BlobVec
from caffezoo.pycaffe.errors import caffe_errors
from caffezoo.pycaffe.python_layer import PythonLayers
from caffezoo.pycaffe.state import STATE

Callback = Callable[[int], Any]
TRAIN, TEST = int(pb.TRAIN), int(pb.TEST)
PHASES = {TRAIN: "TRAIN", TEST: "TEST"}


class NetLayer:
    """A layer of a net: its type and what it learns."""

    def __init__(self, name: str, kind: str, blobs: BlobVec) -> None:
        self.name = name
        self.type = kind
        self.blobs = blobs

    def __repr__(self) -> str:
        return f"<{self.type} '{self.name}'>"


class Net:
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
                    known[i] = _alias(owners[tensor.data_ptr()], tuple(tensor.shape))
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

    # Names.

    @property
    def _layer_names(self) -> list[str]:
        return [node.name for node in self._network.nodes]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def params(self) -> OrderedDict[str, BlobVec]:
        nodes = self._network.nodes
        return OrderedDict((n.name, self._given[n.key]) for n in nodes if len(self._given.get(n.key, ())))

    @property
    def layers(self) -> list[NetLayer]:
        nodes = self._network.nodes
        return [NetLayer(n.name, n.layer.type, self._given.get(n.key, BlobVec())) for n in nodes]

    @property
    def layer_dict(self) -> OrderedDict[str, NetLayer]:
        return OrderedDict((layer.name, layer) for layer in self.layers)

    @property
    def inputs(self) -> list[str]:
        """Blobs of Input layers, which the caller fills."""
        nodes = self._network.nodes
        return [t.name for n in nodes if n.layer.is_input and n.name not in self._feeding.feeds for t in n.tops]

    @property
    def outputs(self) -> list[str]:
        return list(self._network.outputs)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((n.name, [b.name for b in n.bottoms]) for n in self._network.nodes)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((n.name, [t.name for t in n.named_tops]) for n in self._network.nodes)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        return OrderedDict((name, self._loss_weights.get(name, 0.0)) for name in self.blobs)

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

    def forward_all(self, blobs: Iterable[str] | None = None, **kwargs: Any) -> dict[str, np.ndarray]:
        """Run any number of samples, in batches; return a copy of each wanted blob with one row a sample."""
        found: dict[str, list[np.ndarray]] = {}
        count = len(next(iter(kwargs.values())))
        for batch in self._batches(kwargs):
            for name, values in self.forward(blobs, None, None, **batch).items():
                found.setdefault(name, []).extend(values.copy())
        return {name: np.asarray(rows)[:count] for name, rows in found.items()}

    def forward_backward_all(
        self, blobs: Iterable[str] | None = None, diffs: Iterable[str] | None = None, **kwargs: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Run any number of samples forward and backward, in batches; inputs and gradients of outputs by name."""
        inputs = {name: values for name, values in kwargs.items() if name in self.inputs}
        gradients = {name: values for name, values in kwargs.items() if name in self.outputs}
        count = len(next(iter(inputs.values())))
        there: dict[str, list[np.ndarray]] = {}
        back: dict[str, list[np.ndarray]] = {}
        for batch, above in zip(self._batches(inputs), self._batches(gradients, count), strict=True):
            for name, values in self.forward(blobs, None, None, **batch).items():
                there.setdefault(name, []).extend(values.copy())
            for name, values in self.backward(diffs, None, None, **above).items():
                back.setdefault(name, []).extend(values.copy())
        return (
            {name: np.asarray(rows)[:count] for name, rows in there.items()},
            {name: np.asarray(rows)[:count] for name, rows in back.items()},
        )

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

    # What is learned.

    @caffe_errors
    def copy_from(self, trained: str | PathLike[str]) -> None:
        """Take over the blobs of all layers that a caffemodel or HDF5 file has too, by name."""
        from caffezoo.formats.caffemodel import read_weights

        file = read_weights(fspath(trained))
        names = {layer.name for layer in file.layers if layer.blobs}
        self._write(bind([n for n in self._network.nodes if n.name in names and self._given.get(n.key)], file).weights)

    @caffe_errors
    def load_hdf5(self, path: str | PathLike[str]) -> None:
        """Take over the blobs of an HDF5 file."""
        self.copy_from(path)

    @caffe_errors
    def share_with(self, other: Net) -> None:
        """Use the memory of another net's layers of the same name: what changes there changes here."""
        import torch

        theirs = {n.name: other._given[n.key] for n in other._network.nodes if other._given.get(n.key)}
        for layer in self._module.layers:
            own, found = self._given.get(layer.node.key), theirs.get(layer.node.name)
            if own is None or found is None:
                continue
            if [b.shape for b in own] != [b.shape for b in found]:
                raise ValueError(f"layer '{layer.node.name}' has blobs of other shapes in the other net")
            own[:] = found
            for i, blob in enumerate(own):
                with torch.no_grad():
                    layer.blob(i).data = torch.from_numpy(blob.array)
                blob.settle()
        self._engine = None

    def clear_param_diffs(self) -> None:
        """Set the gradients of all that is learned to 0."""
        for blobs in self._given.values():
            for blob in blobs:
                blob.gradient[...] = 0

    @caffe_errors
    def save(self, path: str | PathLike[str]) -> None:
        """Write a caffemodel."""
        from caffezoo.formats.caffemodel_writer import write_caffemodel

        write_caffemodel(fspath(path), self._network.prototxt.net, self._arrays())

    @caffe_errors
    def save_hdf5(self, path: str | PathLike[str], write_diff: bool = False) -> None:
        """Write the learned values as Caffe's HDF5."""
        from caffezoo.formats.hdf5 import write_hdf5

        if write_diff:
            raise NotImplementedError("caffezoo.pycaffe: save_hdf5 does not write gradients")
        write_hdf5(fspath(path), self._network.prototxt.net, self._arrays())

    def _arrays(self) -> dict[str, list[np.ndarray]]:
        return {key: [blob.array for blob in blobs] for key, blobs in self._given.items() if blobs}

    def _write(self, weights: Mapping[str, Sequence[np.ndarray]]) -> None:
        self._compute()
        for key, blobs in weights.items():
            for blob, values in zip(self._given[key], blobs, strict=True):
                np.copyto(blob.array, np.asarray(values, np.float32).reshape(blob.shape))
        self._engine = None

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

    def _batches(self, values: Mapping[str, Any], count: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Yield full batches; the last is filled up with zeros."""
        count = count if count is not None else len(next(iter(values.values())))
        size = next(iter(self.blobs.values())).shape[0]
        for start in range(0, count, size):
            batch = {}
            for name, rows in values.items():
                part = np.asarray(rows[start : start + size], np.float32)
                missing = size - len(part)
                batch[name] = np.concatenate([part, np.zeros((missing, *part.shape[1:]), np.float32)])
            yield batch

    def _call(self, kind: str, index: int) -> None:
        for function in self._callbacks[kind]:
            function(index)

    def __repr__(self) -> str:
        return f"<Net '{self.name}', {PHASES[self._phase]}, {len(self._network.nodes)} layers>"


def _alias(owner: Blob, shape: tuple[int, ...]) -> Blob:
    """Return the owner of shared values, or its values in another shape."""
    if owner.shape == shape:
        return owner
    found = Blob()
    found.array = owner.array.reshape(shape)
    found.settle()
    return found
