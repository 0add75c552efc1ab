"""Python: layers that are classes of Python modules, those of Faster R-CNN by name and others of the user's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from caffezoo.errors import UnknownLayerError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.given_shapes import shape_flags
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.proposal import MAX_ANCHORS, ProposalLayer, ProposalSettings, make_anchors
from caffezoo.net.python_code import PyBlob, make_python_layer, may_run, one_line, python_host

if TYPE_CHECKING:
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Python")
class Python(HostLayer):
    """A class of the module that ``python_param`` names, run as it stands where the caller allows its code.

    ``rpn.proposal_layer`` of py-faster-rcnn is known without its code. A layer without bottoms is a source of data: an
    input, whose shape the caller gives.
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

    def _made(self) -> Any:
        p = self.param
        return make_python_layer(p.module, p.layer, p.param_str, self.phase, self.label)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k not in ("_running", "_host")} | {"_host": None}


class PythonProposal(ProposalLayer, Python):
    """``ProposalLayer`` of ``rpn.proposal_layer`` with py-faster-rcnn's settings at TEST: 6000 boxes into suppression
    at 0.7, 300 out of it, sides of 16 px; ``param_str`` gives ``feat_stride`` and may give ``scales`` of anchors."""

    bottom_count = (3, 3)
    top_count = (1, 2)
    score_axes = (1,)

    def settings(self) -> ProposalSettings:
        stride, scales = self._setting("feat_stride"), self._setting("scales") or [8.0, 16.0, 32.0]
        if stride is None or len(stride) != 1 or not stride[0] > 0:
            self.fail(f"takes a positive feat_stride in param_str, has {self.param.param_str!r}")
        if not 1 <= len(scales) <= MAX_ANCHORS // 3 or min(scales) <= 0:
            self.fail(f"takes positive scales in param_str, has {self.param.param_str!r}")
        anchors = make_anchors(16, (0.5, 1.0, 2.0), scales)
        return ProposalSettings(stride[0], anchors, 6000, 300, 0.7, 16, True)

    def _setting(self, name: str) -> list[float] | None:
        """Return the numbers of one key of ``param_str``: YAML, of which no more is read than numbers and lists."""
        found = re.search(
            rf"""['"]?{name}['"]?\s*:\s*(!!python/tuple\s*)?([\[(][^\])]*[\])]|[^\s,}}]+)""", self.param.param_str
        )
        if found is None:
            return None
        try:
            return [float(v) for v in found.group(2).strip("[]()").split(",") if v.strip()]
        except ValueError:
            self.fail(f"{name} in param_str is no number or list of numbers: {found.group(2)!r}")


_KNOWN: dict[tuple[str, str], type[Python]] = {("rpn.proposal_layer", "ProposalLayer"): PythonProposal}


def is_known(param: pb.PythonParameter) -> bool:
    """Whether a Python layer is run here without its code."""
    return (param.module, param.layer) in _KNOWN
