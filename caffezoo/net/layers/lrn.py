"""LRN: local response normalisation across channels or within one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("LRN")
class LRN(Layer):
    """``x (k + alpha / n * sum of x^2 over n channels)^-beta``; zeros beyond the first and last channel.

    WITHIN_CHANNEL: ``x (1 + alpha * mean of x^2 over n x n px)^-beta``; zeros around the image count in the mean, and k
    is ignored.
    """

    param_name = "lrn_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.param.local_size % 2 == 0:
            self.fail(f"local_size {self.param.local_size} must be odd")
        if len(bottoms[0]) != 4:
            self.fail(f"takes a blob with 4 axes, has {bottoms[0]}")
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        x, n = scope.bottoms[0], int(self.param.local_size)
        alpha, beta, k = self.param.alpha, self.param.beta, self.param.k
        across, shape = self.param.norm_region == pb.LRNParameter.ACROSS_CHANNELS, scope.bottom_shapes[0]
        if across and float(k).is_integer():
            return [scope.op("LRN", x, size=n, alpha=alpha, beta=beta, bias=k)]
        # OpenVINO's LRN takes the bias for an integer, so any other k is written out.
        y = scope.op("Mul", x, x)
        if n > 1:
            kernel, pads = ([n, 1], [n // 2, 0]) if across else ([n, n], [n // 2, n // 2])
            if across:
                y = scope.reshape(y, [0, 1, shape[1], shape[2] * shape[3]])
            y = scope.op("AveragePool", y, kernel_shape=kernel, strides=[1, 1], pads=pads * 2, count_include_pad=1)
            if across:
                y = scope.reshape(y, [0, *shape[1:]])
        y = scope.op("Add", scope.op("Mul", y, scope.const(alpha)), scope.const(k if across else 1.0))
        return [scope.op("Mul", x, scope.op("Pow", y, scope.const(-beta)))]

    def torch(self, scope: TorchScope) -> Compute:
        F, n = scope.F, int(self.param.local_size)
        alpha, beta, k = self.param.alpha, self.param.beta, self.param.k
        if self.param.norm_region == pb.LRNParameter.ACROSS_CHANNELS:
            return lambda own, x: [F.local_response_norm(x, n, alpha, beta, k)]
        return lambda own, x: [x * (1 + alpha * F.avg_pool2d(x * x, n, 1, n // 2)).pow(-beta)]
