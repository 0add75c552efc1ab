"""Second-order statistics of maps: Bilinear, CompactBilinear and Gram, and the SignedSqrt and Sqrt that follow them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MOST_OUTPUTS = 1 << 20


@register("Bilinear")
class Bilinear(Layer):
    """Products of every channel of one map with every channel of another, summed over places: [N, C1 C2, 1, 1]
    (``bilinear_layer.cpp`` of Y. Gao's compact bilinear pooling; Lin et al., 2015)."""

    bottom_count = (2, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        a, b = bottoms
        if len(a) != 4 or len(b) != 4 or (a[0], *a[2:]) != (b[0], *b[2:]):
            self.fail(f"takes two maps of one size, has {a} and {b}")
        return [(a[0], a[1] * b[1], 1, 1)]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * math.prod(bottoms[0][2:])

    def onnx(self, scope: LayerScope) -> list[str]:
        a, b = (
            scope.reshape(x, [0, s[1], math.prod(s[2:])])
            for x, s in zip(scope.bottoms, scope.bottom_shapes, strict=True)
        )
        y = scope.op("MatMul", a, scope.op("Transpose", b, perm=[0, 2, 1]))
        return [scope.reshape(y, [0, *scope.top_shapes[0][1:]])]

    def torch(self, scope: TorchScope) -> Compute:
        top = scope.top_shapes[0][1:]
        return lambda own, a, b: [(a.flatten(2) @ b.flatten(2).mT).reshape(-1, *top)]


@register("Gram")
class Gram(Layer):
    """Products of every two channels of a map, averaged over places and channels: [N, C, C, 1]
    (``gram_layer.cpp`` of happynear/caffe-windows; Gatys et al., 2015)."""

    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) != 4:
            self.fail(f"takes a blob with 4 axes, has {bottoms[0]}")
        return [(bottoms[0][0], bottoms[0][1], bottoms[0][1], 1)]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * math.prod(bottoms[0][2:])

    def onnx(self, scope: LayerScope) -> list[str]:
        _, channels, *size = scope.bottom_shapes[0]
        x = scope.reshape(scope.bottoms[0], [0, channels, math.prod(size)])
        y = scope.op("MatMul", x, scope.op("Transpose", x, perm=[0, 2, 1]))
        y = scope.op("Mul", y, scope.const(1 / (math.prod(size) * channels)))
        return [scope.reshape(y, [0, channels, channels, 1])]

    def torch(self, scope: TorchScope) -> Compute:
        count = math.prod(scope.bottom_shapes[0][1:])
        return lambda own, x: [(x.flatten(2) @ x.flatten(2).mT / count).unsqueeze(3)]


@register("CompactBilinear")
class CompactBilinear(HostLayer):
    """Bilinear, sketched into ``num_output`` values (Tensor Sketch; Gao et al., 2016).

    Each channel of a bottom adds itself, with a sign, to one of ``num_output`` values; the two sketches of a place are
    convolved around the circle, times ``num_output``, because the source does not scale its inverse Fourier transform
    (``compact_bilinear_layer.cpp``). With ``sum_pool`` the places are summed: [N, num_output, 1, 1]. Which value and
    which sign is drawn by the C library's ``rand`` after ``srand(1)``, of glibc here.
    """

    param_name = "compact_bilinear_param"
    own_fields = fields(num_output=0, sum_pool=True)
    bottom_count = (2, 2)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        a, b = bottoms
        outputs = int(self.param.num_output)
        if len(a) != 4 or len(b) != 4 or (a[0], *a[2:]) != (b[0], *b[2:]):
            self.fail(f"takes two maps of one size, has {a} and {b}")
        if not 0 < outputs <= MOST_OUTPUTS or outputs % 2:
            self.fail(f"num_output {outputs} must be an even number from 2 to {MOST_OUTPUTS}")
        return [(a[0], outputs, *((1, 1) if self.param.sum_pool else a[2:]))]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs = int(self.param.num_output)
        draws = iter(glibc_rand(2 * sum(x.shape[1] for x in bottoms)))
        sketches = []
        for x in bottoms:
            where = [next(draws) % outputs for _ in x[0]]
            signs = [next(draws) % 2 * 2 - 1 for _ in x[0]]
            sketch = np.zeros((len(x), outputs, *x.shape[2:]))
            for c, (at, sign) in enumerate(zip(where, signs, strict=True)):
                sketch[:, at] += sign * x[:, c]
            sketches.append(np.fft.rfft(sketch, axis=1))
        spectrum = sketches[0] * sketches[1]
        if self.param.sum_pool:
            spectrum = spectrum.sum((2, 3), keepdims=True)
        return [(np.fft.irfft(spectrum, outputs, axis=1) * outputs).astype(np.float32)]


def glibc_rand(count: int) -> list[int]:
    """Return what glibc's ``rand`` gives first after ``srand(1)``: an additive feedback generator of 31 words."""
    state = [1]
    for _ in range(30):
        state.append(16807 * state[-1] % 2147483647)
    state += state[:3]
    for i in range(34, 344 + count):
        state.append((state[i - 31] + state[i - 3]) & 0xFFFFFFFF)
    return [word >> 1 for word in state[344:]]


@register("SignedSqrt")
class SignedSqrt(Layer):
    """``sign(x) sqrt(|x|)`` (``signed_sqrt_layer.cpp`` of Y. Gao's compact bilinear pooling)."""

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        return [scope.op("Mul", scope.op("Sign", x), scope.op("Sqrt", scope.op("Abs", x)))]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, x: [x.sign() * x.abs().sqrt()]


@register("Sqrt")
class Sqrt(Layer):
    """``sqrt(x)`` (``sqrt_layer.cpp`` of Cambricon's and other forks)."""

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Sqrt", scope.bottoms[0])]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, x: [x.sqrt()]


@register("ChannelScale")
class ChannelScale(Layer):
    """Every place of the first bottom times its value of the second one, which has no channels; the first as it is
    with ``do_forward: false`` (``channel_scale_layer.cpp`` of happynear/caffe-windows). A global scale, which it keeps
    as a mean of batches, is not supported."""

    param_name = "channel_scale_param"
    own_fields = fields(
        do_forward=True,
        do_backward_feature=True,
        do_backward_scale=True,
        global_scale=False,
        max_global_scale=float,
        min_global_scale=float,
        init_global_scale=float,
    )
    bottom_count = (2, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, scale = bottoms
        if self.param.global_scale:
            self.fail("global_scale is not supported")
        if len(x) < 2 or not scale or scale[0] != x[0] or math.prod(scale) * x[1] != math.prod(x):
            self.fail(f"takes a value for each place of {x}, has {scale}")
        return [x]

    def onnx(self, scope: LayerScope) -> list[str]:
        if not self.param.do_forward:
            return [scope.op("Identity", scope.bottoms[0])]
        shape = scope.bottom_shapes[0]
        return [scope.op("Mul", scope.bottoms[0], scope.reshape(scope.bottoms[1], [-1, 1, *shape[2:]]))]

    def torch(self, scope: TorchScope) -> Compute:
        shape, do = scope.bottom_shapes[0], self.param.do_forward

        def compute(own: Any, x: Any, scale: Any) -> list[Any]:
            return [x * scale.reshape(-1, 1, *shape[2:]) if do else x]

        return compute


@register("L2Normalization")
class L2Normalization(Layer):
    """Every sample of values divided by its Euclidean norm.

    Forks agree where a sample has one place: over a map, one divides each place and another the whole sample. With
    ``l2n_param`` (axis, is_global, eps) it is one more layer, which is not supported.
    """

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if len(x) < 2 or math.prod(x[2:]) != 1:
            self.fail(f"forks of this name divide maps like {x} by other norms", hint="GRN divides each place")
        return [x]

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        squares = scope.op("ReduceSum", scope.op("Mul", x, x), scope.ints([1]), keepdims=1)
        least = scope.const(float(np.finfo(np.float32).tiny))
        return [scope.op("Div", x, scope.op("Sqrt", scope.op("Max", squares, least)))]

    def torch(self, scope: TorchScope) -> Compute:
        least = float(np.finfo(np.float32).tiny)
        return lambda own, x: [x / x.square().sum(1, keepdim=True).clamp(min=least).sqrt()]
