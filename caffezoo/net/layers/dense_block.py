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
    the factor that means and variances are divided by (0: they count as 0), [1]. The filters are mirrored: the layer
    computes a convolution as mathematics has it (the CPU form in ``DenseBlock_layer.cpp`` of Tongcheng's fork).
    ``use_BC`` puts a bottleneck in between, ``conv1x1(relu(bn(x)))`` of B = 4 growthRate channels: the filters are then
    [growthRate, B, 3, 3], and before the factor stand filters [B, C, 1, 1], and scales, shifts, means and variances
    [1, B, 1, 1]. C is what the blob has: the fork for text (``caffe_ocr``) passes ``initChannel`` over, and files rely
    on it. Other windows than 3x3 at stride 1 are refused; TRAIN has no form.
    """

    param_name = "denseblock_param"
    in_place_allowed = False
    differentiable = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p, x = self.param, bottoms[0]
        if len(x) != 4:
            self.fail(f"takes a blob with channels, height and width, has {x}")
        if not 0 < p.numTransition <= 1000 or p.growthRate < 1:
            self.fail("takes a numTransition from 1 to 1000 and a positive growthRate")
        windows = (p.pad_h, p.pad_w, p.conv_verticalStride, p.conv_horizentalStride, p.filter_H, p.filter_W)
        if windows != (1, 1, 1, 1, 3, 3):
            self.fail("windows other than 3x3 with pad 1 and stride 1 are not supported")
        return [(x[0], x[1] + p.numTransition * p.growthRate, *x[2:])]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p, bottleneck = self.param, 4 * self.param.growthRate
        widths = [bottoms[0][1] + i * p.growthRate for i in range(p.numTransition)]
        lines: list[Shape] = [(1, width, 1, 1) for width in widths]
        narrow: list[Shape] = [(1, bottleneck, 1, 1)] * len(widths)
        squeezing: list[Shape] = [(bottleneck, width, 1, 1) for width in widths]
        filters: list[Shape] = [(p.growthRate, bottleneck if p.use_BC else width, 3, 3) for width in widths]
        return [*filters, *lines * 4, *([*squeezing, *narrow * 4] if p.use_BC else []), (1,)]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        n, _, height, width = bottoms[0]
        count, shapes = self.param.numTransition, self.blob_shapes(bottoms)
        filters = [*shapes[:count], *shapes[5 * count : 6 * count]] if self.param.use_BC else shapes[:count]
        return int(sum(np.prod(f) for f in filters)) * n * height * width

    def _parts(self, blobs: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return of each convolution the mirrored filter, and the slope and shift [C] that the norm before comes to."""
        count, values = self.param.numTransition, [np.asarray(b, np.float64) for b in blobs]
        factor = float(values[-1].reshape(-1)[0])
        by = 1 / factor if factor else 0.0

        def part(kinds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            kernel, slope, shift, mean, variance = kinds
            with np.errstate(invalid="ignore"):
                slope = slope / np.sqrt(variance * by + EPS)
            return kernel[:, :, ::-1, ::-1], slope, shift - mean * by * slope

        found = []
        for i in range(count):
            wide = values[i : 5 * count : count]
            if self.param.use_BC:
                narrow = values[5 * count + i : 10 * count : count]
                found += [part([narrow[0], *wide[1:]]), part([wide[0], *narrow[1:]])]
            else:
                found.append(part(wide))
        return found

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        y = x
        for kernel, slope, shift in self._parts(scope.blobs):
            y = scope.op("Mul", y, scope.const(slope.astype(np.float32)))
            y = scope.op("Relu", scope.op("Add", y, scope.const(shift.astype(np.float32))))
            kernel, pad = np.ascontiguousarray(kernel, np.float32), kernel.shape[2] // 2
            y = scope.op("Conv", y, scope.const(kernel), pads=[pad] * 4)
            if pad:
                x = y = scope.op("Concat", x, y, axis=1)
        return [x]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, count = scope.torch, scope.F, int(self.param.numTransition)
        bottleneck = bool(self.param.use_BC)
        number = (10 if bottleneck else 5) * count
        scope.learn(*range(3 * count), *(range(5 * count, 8 * count) if bottleneck else ()))
        scope.statistic(*range(3 * count, 5 * count), *(range(8 * count, 10 * count) if bottleneck else ()), number)

        def compute(own: Any, x: Any) -> list[Any]:
            blobs = [getattr(own, f"blob{i}") for i in range(number + 1)]
            factor = float(blobs[-1].reshape(-1)[0])
            by = 1 / factor if factor else 0.0

            def convolved(y: Any, kernel: Any, slope: Any, shift: Any, mean: Any, variance: Any) -> Any:
                y = slope * (y - mean * by) / (variance * by + EPS).sqrt() + shift
                return F.conv2d(F.relu(y), kernel.flip(2, 3), padding=kernel.shape[2] // 2)

            for i in range(count):
                kernel, *norm = blobs[i : 5 * count : count]
                y = x
                if bottleneck:
                    squeezing, *narrow = blobs[5 * count + i : 10 * count : count]
                    y, norm = convolved(x, squeezing, *norm), narrow
                x = torch.cat([x, convolved(y, kernel, *norm)], 1)
            return [x]

        return compute
