"""DenseBlock: a block of DenseNet in one layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

EPS = 1e-5


@register("DenseBlock")
class DenseBlock(Layer):
    """``x = [x, conv3x3(relu(bn(x)))]``, L = ``numTransition`` times (Huang et al., 2017, section 3).

    Blobs, L of each kind: filters [growthRate, C, 3, 3], scales, shifts, means and variances [1, C, 1, 1]; behind them
    the factor that means and variances are divided by (0: they count as 0), [1, 1, 1, 1]. The filters are mirrored: the
    layer computes a convolution as mathematics has it (the CPU form in ``DenseBlock_layer.cpp`` of Tongcheng's fork).
    The forms with ``use_BC``, and with other windows than 3x3 at stride 1, are refused; TRAIN has no form.
    """

    param_name = "denseblock_param"
    in_place_allowed = False
    differentiable = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p, x = self.param, bottoms[0]
        if len(x) != 4 or x[1] != p.initChannel:
            self.fail(f"takes a blob of initChannel = {p.initChannel} channels with height and width, has {x}")
        if not 0 < p.numTransition <= 1000 or p.growthRate < 1:
            self.fail("takes a numTransition from 1 to 1000 and a positive growthRate")
        windows = (p.pad_h, p.pad_w, p.conv_verticalStride, p.conv_horizentalStride, p.filter_H, p.filter_W)
        if p.use_BC or windows != (1, 1, 1, 1, 3, 3):
            self.fail("use_BC and windows other than 3x3 with pad 1 and stride 1 are not supported")
        return [(x[0], x[1] + p.numTransition * p.growthRate, *x[2:])]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p = self.param
        widths = [p.initChannel + i * p.growthRate for i in range(p.numTransition)]
        lines: list[Shape] = [(1, width, 1, 1) for width in widths]
        return [*((p.growthRate, width, 3, 3) for width in widths), *lines * 4, (1, 1, 1, 1)]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        n, _, height, width = bottoms[0]
        filters = self.blob_shapes(bottoms)[: self.param.numTransition]
        return int(sum(np.prod(f) for f in filters)) * n * height * width

    def _parts(self, blobs: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return of each step the mirrored filter, and the slope and the shift [C] that its batch norm comes to."""
        count, values = self.param.numTransition, [np.asarray(b, np.float64) for b in blobs]
        factor = float(values[-1].reshape(-1)[0])
        by = 1 / factor if factor else 0.0
        found = []
        for i in range(count):
            kernel, slope, shift, mean, variance = values[i : 5 * count : count]
            with np.errstate(invalid="ignore"):
                slope = slope / np.sqrt(variance * by + EPS)
            found.append((kernel[:, :, ::-1, ::-1], slope, shift - mean * by * slope))
        return found

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        for kernel, slope, shift in self._parts(scope.blobs):
            y = scope.op("Mul", x, scope.const(slope.astype(np.float32)))
            y = scope.op("Relu", scope.op("Add", y, scope.const(shift.astype(np.float32))))
            kernel = np.ascontiguousarray(kernel, np.float32)
            x = scope.op("Concat", x, scope.op("Conv", y, scope.const(kernel), pads=[1, 1, 1, 1]), axis=1)
        return [x]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, count = scope.torch, scope.F, int(self.param.numTransition)
        scope.learn(*range(3 * count))
        scope.statistic(*range(3 * count, 5 * count + 1))

        def compute(own: Any, x: Any) -> list[Any]:
            blobs = [getattr(own, f"blob{i}") for i in range(5 * count + 1)]
            factor = float(blobs[-1].reshape(-1)[0])
            by = 1 / factor if factor else 0.0
            for i in range(count):
                kernel, slope, shift, mean, variance = blobs[i : 5 * count : count]
                y = slope * (x - mean * by) / (variance * by + EPS).sqrt() + shift
                x = torch.cat([x, F.conv2d(F.relu(y), kernel.flip(2, 3), padding=1)], 1)
            return [x]

        return compute
