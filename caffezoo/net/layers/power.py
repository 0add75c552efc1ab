"""Power, Exp and Log: element by element, with a scale and a shift inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine, Folded, Layer, Shape, register
from caffezoo.net.layers.affine import scale_layer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Power")
class Power(Layer):
    """``(shift + scale * x)^power``; a constant where power or scale is 0: 1, or shift^power."""

    param_name = "power_param"

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        return (self.param.power, self.param.scale, self.param.shift) == (1, 1, 0)

    def onnx(self, scope: LayerScope) -> list[str]:
        x, param = scope.bottoms[0], self.param
        if param.power == 0 or param.scale == 0:
            return [scope.op("Expand", scope.const(self._constant()), scope.op("Shape", x))]
        x = _inner(scope, x, param.scale, param.shift)
        return [x if param.power == 1 else scope.op("Pow", x, scope.const(param.power))]

    def _constant(self) -> float:
        """Return what the layer gives where the bottom has no influence."""
        with np.errstate(all="ignore"):
            return (
                1.0
                if self.param.power == 0
                else float(np.power(np.float32(self.param.shift), np.float32(self.param.power)))
            )

    def torch(self, scope: TorchScope) -> Compute:
        torch, power, scale, shift = scope.torch, self.param.power, self.param.scale, self.param.shift
        if power == 0 or scale == 0:
            value = self._constant()
            return lambda own, x: [torch.full_like(x, value)]
        if power == 1:
            return lambda own, x: [x * scale + shift]
        return lambda own, x: [(x * scale + shift).pow(power)]

    def affine(self, blobs: Sequence[np.ndarray], channels: int) -> Affine | None:
        if self.param.power != 1:
            return None
        return Affine(np.full(channels, float(self.param.scale)), np.full(channels, float(self.param.shift)))

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if self.param.power != 1:
            return None
        return self._folded(map_.a * self.param.scale, map_.a * self.param.shift + map_.b)

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if self.param.power != 1:
            return None
        return self._folded(self.param.scale * map_.a, self.param.scale * map_.b + self.param.shift)

    def _folded(self, a: np.ndarray, b: np.ndarray) -> Folded:
        """Return a Power layer where all channels share one map, otherwise a Scale."""
        if not (np.all(a == a[0]) and np.all(b == b[0])):
            return scale_layer(self.proto, a, b, np.float32)
        proto = pb.LayerParameter()
        proto.CopyFrom(self.proto)
        proto.power_param.scale, proto.power_param.shift = float(a[0]), float(b[0])
        return Folded(proto, ())


@register("Exp")
class Exp(Layer):
    """``base^(shift + scale * x)``; a base of -1 is e."""

    param_name = "exp_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        _log_base(self)
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        log_base = _log_base(self)
        x = _inner(scope, scope.bottoms[0], log_base * self.param.scale, log_base * self.param.shift)
        return [scope.op("Exp", x)]

    def torch(self, scope: TorchScope) -> Compute:
        log_base = _log_base(self)
        scale, shift = log_base * self.param.scale, log_base * self.param.shift
        return lambda own, x: [(x * scale + shift).exp()]


@register("Log")
class Log(Layer):
    """``log(shift + scale * x)`` to a base; a base of -1 is e."""

    param_name = "log_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if _log_base(self) == 0:
            self.fail("base 1 has no logarithm")
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        y = scope.op("Log", _inner(scope, scope.bottoms[0], self.param.scale, self.param.shift))
        return [y if self.param.base == -1 else scope.op("Mul", y, scope.const(1 / _log_base(self)))]

    def torch(self, scope: TorchScope) -> Compute:
        scale, shift, factor = self.param.scale, self.param.shift, 1 / _log_base(self)
        return lambda own, x: [(x * scale + shift).log() * factor]


def _log_base(layer: Layer) -> float:
    """Return the natural logarithm of ``base``."""
    base = layer.param.base
    if base == -1:
        return 1.0
    if not 0 < base < math.inf:
        layer.fail(f"base {base:g} must be positive, or -1 for e")
    return math.log(base)


def _inner(scope: LayerScope, x: str, scale: float, shift: float) -> str:
    """Append ``shift + scale * x``."""
    if scale != 1:
        x = scope.op("Mul", x, scope.const(scale))
    return x if shift == 0 else scope.op("Add", x, scope.const(shift))
