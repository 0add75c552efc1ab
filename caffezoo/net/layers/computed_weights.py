"""Convolutions and inner products that multiply by something made of their weights: rounded, binary or masked.

Their backward pass is that of the forks: the gradient of what they multiply by is the weights' own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine, Folded, Layer, Shape, register
from caffezoo.net.layers.convolution import Convolution
from caffezoo.net.layers.deconvolution import Deconvolution
from caffezoo.net.layers.inner_product import InnerProduct
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


class ComputedWeights(Layer):
    """Put before a layer's class: that layer with other blobs, and with its bottoms and tops trimmed."""

    def effective(self, blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return what the layer multiplies by and adds, of its blobs."""
        raise NotImplementedError

    def trimmed(self, x: Any, ops: Any, *, top: bool) -> Any:
        """Return a bottom, or a top, as the layer has it; ``ops`` makes operators of ONNX or of torch."""
        return x

    def onnx(self, scope: LayerScope) -> list[str]:
        bottoms = [self.trimmed(x, _OnnxRounding(scope), top=False) for x in scope.bottoms]
        inner = scope.for_part(scope.node, bottoms, tuple(self.effective(scope.blobs)))
        return [self.trimmed(y, _OnnxRounding(scope), top=True) for y in super().onnx(inner)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, rounding = scope.torch, _TorchRounding()
        count = len(scope.node.blob_shapes)
        learned = len(self.effective(scope.blobs))
        scope.learn(*range(learned))
        scope.statistic(*range(learned, count))
        given = copy.copy(scope)
        given.learn = lambda *indices: None  # type: ignore[method-assign]
        inner = super().torch(given)

        def compute(own: Any, *bottoms: Any) -> list[Any]:
            blobs = [own.blob(i) for i in range(count)]
            found = self.effective([b.detach().float().cpu().numpy() for b in blobs])
            used = {
                f"blob{i}": b + (torch.from_numpy(w).to(b.device, b.dtype) - b).detach()
                for i, (b, w) in enumerate(zip(blobs, found, strict=False))
            }
            tops = inner(SimpleNamespace(**used), *(self.trimmed(x, rounding, top=False) for x in bottoms))
            return [self.trimmed(y, rounding, top=True) for y in tops]

        return compute

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        return None

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        return None

    def sliding(self, blobs: Sequence[np.ndarray], bottoms: Sequence[Shape]) -> Folded | None:
        return None


class _OnnxRounding:
    """Rounding to steps within bounds, in ONNX operators; halves away from 0."""

    def __init__(self, scope: LayerScope) -> None:
        self._scope = scope

    def __call__(self, x: str, low: float, high: float, steps: float) -> str:
        op, const = self._scope.op, self._scope.const
        x = op("Mul", op("Clip", x, const(low), const(high)), const(steps))
        whole = op("Mul", op("Sign", x), op("Floor", op("Add", op("Abs", x), const(0.5))))
        return op("Mul", whole, const(1 / steps))


class _TorchRounding:
    """The same in torch; its gradient is 1."""

    def __call__(self, x: Any, low: float, high: float, steps: float) -> Any:
        y = x.detach().clamp(low, high) * steps
        return x + (y.sign() * (y.abs() + 0.5).floor() / steps - x.detach())


def _bounds(bits: int, fraction: int) -> tuple[float, float, float]:
    """Return the least and the largest number of ``bits`` bits, ``fraction`` of them behind the point, and 1 / step."""
    return -(2.0 ** (bits - 1 - fraction)), (2.0 ** (bits - 1) - 1) * 2.0**-fraction, 2.0**fraction


class Ristretto(ComputedWeights):
    """Numbers of few bits, as Ristretto simulates them at TEST (``base_ristretto_layer.cpp`` of pmgysel/caffe).

    With DYNAMIC_FIXED_POINT bottoms, blobs and tops are cut to ``bw_layer_in``, ``bw_params`` and ``bw_layer_out``
    bits, of which ``fl_layer_in``, ``fl_params`` and ``fl_layer_out`` stand behind the point, and rounded to the
    nearest, halves away from 0; FIXED_POINT, of its first version, leaves bottoms as they are. With
    INTEGER_POWER_OF_2_WEIGHTS weights become powers of 2 of ``exp_min`` to ``exp_max`` by the nearest logarithm, and
    nothing else changes. The source trims a bottom in place: what reads that blob later has it trimmed there, and not
    here.
    """

    other_fields = MappingProxyType(
        {
            "quantization_param": fields(
                precision="DYNAMIC_FIXED_POINT",
                rounding_scheme="NEAREST",
                bw_layer_in=32,
                bw_layer_out=32,
                bw_params=32,
                fl_layer_in=16,
                fl_layer_out=16,
                fl_params=16,
                mant_bits=23,
                exp_bits=8,
                exp_min=-8,
                exp_max=-1,
            )
        }
    )

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        q = self.message("quantization_param")
        fixed, powers = ("DYNAMIC_FIXED_POINT", "FIXED_POINT"), ("INTEGER_POWER_OF_2_WEIGHTS", "POWER_2_WEIGHTS")
        if q.precision not in fixed + powers:
            self.fail(f"precision {q.precision} is not supported", hint=f"{fixed[0]} or {powers[0]} is")
        if q.rounding_scheme != "NEAREST" or self.phase == pb.TRAIN:
            self.fail("stochastic rounding, and so phase TRAIN, is not supported")
        if not all(1 <= bits <= 32 for bits in (q.bw_layer_in, q.bw_layer_out, q.bw_params)):
            self.fail("numbers have 1 to 32 bits")
        if any(abs(f) > 64 for f in (q.fl_layer_in, q.fl_layer_out, q.fl_params)) or not -64 <= q.exp_min <= q.exp_max:
            self.fail("a point or an exponent is out of range")
        return super().top_shapes(bottoms)

    @property
    def _is_fixed(self) -> bool:
        return str(self.message("quantization_param").precision).endswith("FIXED_POINT")

    def effective(self, blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        q = self.message("quantization_param")
        if self._is_fixed:
            low, high, steps = _bounds(q.bw_params, q.fl_params)
            whole = [np.clip(b.astype(np.float64), low, high) * steps for b in blobs]
            return [(np.sign(y) * np.floor(np.abs(y) + 0.5) / steps).astype(np.float32) for y in whole]
        with np.errstate(divide="ignore"):
            power = np.log2(np.abs(blobs[0]))
        power = np.clip(np.sign(power) * np.floor(np.abs(power) + 0.5), q.exp_min, q.exp_max)
        return [(np.where(blobs[0] >= 0, 1, -1) * 2.0**power).astype(np.float32), *blobs[1:]]

    def trimmed(self, x: Any, ops: Any, *, top: bool) -> Any:
        q = self.message("quantization_param")
        if not self._is_fixed or (not top and q.precision == "FIXED_POINT"):
            return x
        return ops(x, *(_bounds(q.bw_layer_out, q.fl_layer_out) if top else _bounds(q.bw_layer_in, q.fl_layer_in)))


@register("ConvolutionRistretto")
class ConvolutionRistretto(Ristretto, Convolution):
    """A convolution in numbers of few bits."""


@register("DeconvolutionRistretto")
class DeconvolutionRistretto(Ristretto, Deconvolution):
    """A deconvolution in numbers of few bits."""


@register("FcRistretto")
class FcRistretto(Ristretto, InnerProduct):
    """An inner product in numbers of few bits."""

    bottom_count = (1, 1)


class Masked(ComputedWeights):
    """Blobs times masks, which are blobs as well: weight, bias, and the mask of each (``compress_conv_layer.cpp`` of
    Dynamic Network Surgery, Guo et al., 2016); the masks stay as they are at TEST."""

    other_fields = MappingProxyType(
        {
            name: fields(
                gamma=float,
                power=float,
                iter_stop=int,
                c_rate=float,
                weight_mask_filler=pb.FillerParameter,
                bias_mask_filler=pb.FillerParameter,
            )
            for name in ("cconvolution_param", "cinner_product_param")
        }
    )

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if not self.param.bias_term or self.phase == pb.TRAIN:
            self.fail("bias_term: false and phase TRAIN, in which the masks are drawn, are not supported")
        for name in self.other_fields:
            self.message(name)
        return super().top_shapes(bottoms)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return super().blob_shapes(bottoms) * 2

    def effective(self, blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [blobs[0] * blobs[2], blobs[1] * blobs[3]]


@register("CConvolution")
class CConvolution(Masked, Convolution):
    """A convolution of which a mask has taken weights away."""


@register("CInnerProduct")
class CInnerProduct(Masked, InnerProduct):
    """An inner product of which a mask has taken weights away."""

    bottom_count = (1, 1)


@register("BinaryConvolution")
class BinaryConvolution(ComputedWeights, Convolution):
    """A convolution by the signs of its weights, with ``use_alpha`` times the mean of each kernel's sizes
    (``binary_conv_layer.cpp`` of HWGQ, Cai et al., 2017; Rastegari et al., 2016); 0 has a positive sign."""

    other_fields = MappingProxyType({"binary_convolution_param": fields(use_alpha=bool, use_binarization=True)})

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.message("binary_convolution_param").use_alpha is None:
            self.fail("takes binary_convolution_param { use_alpha }: forks of this name differ")
        return super().top_shapes(bottoms)

    def effective(self, blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        settings, weight = self.message("binary_convolution_param"), blobs[0]
        if settings.use_binarization:
            axes = tuple(range(1, weight.ndim))
            size = np.abs(weight).mean(axes, keepdims=True) if settings.use_alpha else 1
            weight = (np.where(weight >= 0, 1, -1) * size).astype(np.float32)
        return [weight, *blobs[1:]]
