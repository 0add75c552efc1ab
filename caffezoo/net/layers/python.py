"""Python: layers that are classes of Python modules, those of public ones by name and others of the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from caffezoo.errors import UnknownLayerError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.given_shapes import shape_flags
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.python_code import PyBlob, make_python_layer, may_run, one_line, python_host

if TYPE_CHECKING:
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Python")
class Python(HostLayer):
    """A class of the module that ``python_param`` names, run as it stands where the caller allows its code.

    Some classes of public modules are known without their code: see :func:`known_as`. A layer without bottoms is a
    source of data: an input, whose shape the caller gives.
    """

    param_name = "python_param"
    bottom_count: ClassVar[tuple[int, int | None]] = (0, None)
    top_count: ClassVar[tuple[int, int | None]] = (0, None)
    in_caffe = False

    def __new__(cls, proto: pb.LayerParameter | None = None, *_: Any) -> Python:
        known = (
            proto is not None
            and python_host() is None
            and _KNOWN.get((proto.python_param.module, proto.python_param.layer))
        )
        return super().__new__(known or cls)

    def __init__(self, proto: pb.LayerParameter, where: str = "", phase: int = pb.TEST) -> None:
        super().__init__(proto, where, phase)
        self._host = python_host()
        self.is_input = not proto.bottom and self._host is None  # type: ignore[misc]
        self.on_host = bool(proto.bottom)  # type: ignore[misc]

    @property
    def code(self) -> str:
        """Module and class, for messages."""
        return f"class '{self.param.layer}' of Python module '{self.param.module}'"

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return self._host.blob_shapes(self.proto) if self._host is not None else super().blob_shapes(bottoms)

    def torch(self, scope: TorchScope) -> Compute:
        if self._host is not None:  # it runs the layer itself; the module holds what the layer learns
            scope.learn()
        return super().torch(scope)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self._host is not None:
            return self._host.top_shapes(self.proto, self.phase, bottoms)
        if not bottoms:
            self.fail(
                f"its data come from {self.code}, which says their shape",
                hint=f"give it: {shape_flags(self.proto.top)}",
            )
        if not may_run():
            raise UnknownLayerError(
                f"it is {self.code}, code that is not run unasked",
                where=self.label,
                hint="--python-layers DIR runs it from DIR",
            )
        blobs = [PyBlob(np.zeros(s, np.float32)) for s in bottoms]
        tops = [PyBlob(np.zeros((), np.float32)) for _ in self.proto.top]
        layer = self._made()
        with one_line(self.label):
            layer.setup(blobs, tops)
            layer.reshape(blobs, tops)
        return [top.shape for top in tops]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        below = [PyBlob(np.array(x, np.float32)) for x in bottoms]
        tops = [PyBlob(np.zeros((), np.float32)) for _ in self.proto.top]
        if "_running" not in self.__dict__:
            layer = self._made()
            with one_line(self.label):
                layer.setup(below, tops)
            self._running = layer
        with one_line(self.label):
            self._running.reshape(below, tops)
            self._running.forward(below, tops)
        return [np.asarray(top.data, np.float32) for top in tops]

    def setting(self, name: str) -> list[float] | None:
        """Return the numbers of one key of ``param_str``: YAML, of which no more is read than numbers and lists."""
        found = re.search(
            rf"""['"]?\b{name}['"]?\s*:\s*(!!python/tuple\s*)?([\[(][^\])]*[\])]|[^\s,}}]+)""", self.param.param_str
        )
        if found is None:
            return None
        try:
            return [float(v) for v in found.group(2).strip("[]()").split(",") if v.strip()]
        except ValueError:
            self.fail(f"{name} in param_str is no number or list of numbers: {found.group(2)!r}")

    def positive(self, name: str, default: Sequence[float] = (), most: int = 1) -> list[float]:
        """Return up to so many positive numbers of one key of ``param_str``."""
        found = self.setting(name) or list(default)
        if not 1 <= len(found) <= most or not min(found) > 0:
            article = "a " if most == 1 else ""
            self.fail(f"takes {article}positive {name} in param_str, has {self.param.param_str!r}")
        return found

    def _made(self) -> Any:
        p = self.param
        return make_python_layer(p.module, p.layer, p.param_str, self.phase, self.label)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k not in ("_running", "_host")} | {"_host": None}


_KNOWN: dict[tuple[str, str], type[Python]] = {}
_P = TypeVar("_P", bound="type[Python]")


def known_as(*names: str) -> Callable[[_P], _P]:
    """Register what is run in place of a public module's class, ``module.Class``, without its code."""

    def decorate(cls: _P) -> _P:
        for name in names:
            module, _, layer = name.rpartition(".")
            if (module, layer) in _KNOWN:
                raise ValueError(f"Python layer {name} is registered twice")
            _KNOWN[module, layer] = cls
        return cls

    return decorate


def is_known(param: pb.PythonParameter) -> bool:
    """Whether a Python layer is run here without its code."""
    return (param.module, param.layer) in _KNOWN
