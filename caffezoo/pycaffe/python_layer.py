"""Python layers: a script's own classes as layers of a net."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Shape
from caffezoo.net.python_code import running_host
from caffezoo.pycaffe.blob import Blob, BlobVec


class Layer:
    """What a Python layer derives from.

    Attributes
    ----------
    blobs : BlobVec
        What the layer learns; ``setup`` appends with ``add_blob``.
    param_str : str
    phase : int
    """

    param_str = ""
    phase = 1

    def __init__(self, param: Any = None) -> None:
        self.blobs = BlobVec()
        self.layer_param = param
        self.type = "Python"

    @property
    def param_str_(self) -> str:
        """``param_str`` by its older name."""
        return self.param_str

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Called once, before the first ``reshape``."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Called before every ``forward``."""
        raise NotImplementedError(f"{type(self).__name__} has no reshape")

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no backward")


class PythonLayers:
    """The Python layers of one net, by name: made once, and asked for their shapes when the net takes others."""

    def __init__(self) -> None:
        self.made: dict[str, Layer] = {}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let networks that are built meanwhile take their Python layers from here."""
        with running_host(self):
            yield

    def top_shapes(self, proto: pb.LayerParameter, phase: int, bottoms: Sequence[Shape]) -> list[Shape]:
        """Return the shapes of a layer's tops; what the layer's code raises goes up as it is."""
        below = [Blob(shape) for shape in bottoms]
        above = [Blob() for _ in proto.top]
        self._layer(proto, phase, below, above).reshape(below, above)
        return [blob.shape for blob in above]

    def blob_shapes(self, proto: pb.LayerParameter) -> list[Shape]:
        """Return the shapes of what a layer learns."""
        return [blob.shape for blob in self.made[proto.name].blobs]

    def _layer(self, proto: pb.LayerParameter, phase: int, below: list[Blob], above: list[Blob]) -> Layer:
        if proto.name in self.made:
            return self.made[proto.name]
        param = proto.python_param
        module = importlib.import_module(param.module)
        made: Layer = getattr(module, param.layer)(proto)
        made.param_str = param.param_str
        made.phase = phase
        if not hasattr(made, "blobs"):  # its own __init__ does not call ours
            made.blobs = BlobVec()
        made.setup(below, above)
        self.made[proto.name] = made
        return made
