"""DataAugmentation of FlowNet 2 at TEST: the middle of an image, less a mean that the layer keeps."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

RANDOM = (
    *("mirror", "translate", "rotate", "zoom", "squeeze", "translate_x", "translate_y", "gamma", "brightness"),
    *("contrast", "color", "lmult_pow", "lmult_mult", "lmult_add", "sat_pow", "sat_mult", "sat_add", "col_pow"),
    *("col_mult", "col_add", "ladd_pow", "ladd_mult", "ladd_add", "col_rotate", "fog_amount", "fog_size"),
    *("motion_blur_angle", "motion_blur_size", "shadow_angle", "shadow_distance", "shadow_strength", "noise"),
)
"""What FlowNet 2 draws at random to vary its images."""


@register("DataAugmentation")
class DataAugmentation(Layer):
    """The middle of an image, less a mean; what varies images is left out at TEST (``data_augmentation_layer.cu``).

    With crop_width and crop_height pixel i of the top lies at ``i + (in - crop) / 2``, at most at ``in - 1.05``,
    between two pixels of the bottom. With ``recompute_mean`` R the layer keeps three blobs: the number of batches that
    it has seen [1, 1, 1, 1], their mean [1, C, H, W] and that over places [1, C, 1, 1], which it subtracts, the former
    with ``mean_per_pixel``; up to R batches the one at hand is counted in. Else three ``mean`` values are subtracted
    where ``mean_per_pixel`` is false.
    """

    param_name = "augmentation_param"
    own_fields = fields(
        crop_width=int,
        crop_height=int,
        write_augmented="",
        max_multiplier=255.0,
        augment_during_test=False,
        recompute_mean=0,
        write_mean="",
        mean_per_pixel=True,
        mean=[float],
        mode="add",
        bottomwidth=0,
        bottomheight=0,
        num=0,
        chromatic_eigvec=[float],
        **dict.fromkeys(RANDOM, dict),
    )
    other_fields = MappingProxyType({"coeff_schedule_param": fields(half_life=1.0, initial_coeff=1.0, final_coeff=1.0)})
    in_place_allowed = False
    differentiable = False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return bool(self.param.recompute_mean > 0)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, p = bottoms[0], self.param
        self.message("coeff_schedule_param")
        if self.phase == pb.TRAIN or (p.augment_during_test and any(getattr(p, name) for name in RANDOM)):
            self.fail("draws at random in phase TRAIN and with augment_during_test, which is not supported")
        if len(x) != 4:
            self.fail(f"takes a blob with 4 axes, has {x}")
        if not self._crops:
            return [x]
        size = (int(p.crop_height), int(p.crop_width))
        if min(size) < 1 or any(s > d for s, d in zip(size, x[2:], strict=True)) or min(x[2:]) < 2:
            self.fail(f"a part of {size} pixels is not within {x}")
        return [(*x[:2], *size)]

    @property
    def _crops(self) -> bool:
        return self.param.crop_width is not None and self.param.crop_height is not None

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        top = self.top_shapes(bottoms)[0]
        shapes: list[Shape] = [(1, 1, 1, 1), (1, *top[1:]), (1, top[1], 1, 1)]
        return shapes if self.param.recompute_mean else shapes[:1]

    def fit_blob(self, index: int, value: np.ndarray, shape: Shape) -> np.ndarray | None:
        """Return the mean of images of another size, as ``adjust_blobs`` has it: its mean over places everywhere."""
        if index != 1 or value.ndim != 4 or value.shape[:2] != shape[:2]:
            return None
        return np.broadcast_to(value.mean((2, 3), keepdims=True), shape).astype(np.float32)

    def _matrix(self, size: int, out: int) -> np.ndarray:
        """Return how much each pixel of an axis counts, [out, in]."""
        place = np.arange(out, dtype=np.float32) + np.float32((size - out) / 2)
        place = np.clip(place, np.float32(0), np.float32(size) - np.float32(1.05))
        low = np.floor(place).astype(int)
        matrix = np.zeros((out, size), np.float32)
        matrix[np.arange(out), low] = 1 - (place - low)
        matrix[np.arange(out), low + 1] += place - low
        return matrix

    def _matrices(self, bottom: Shape, top: Shape) -> list[np.ndarray]:
        return [self._matrix(d, out) for d, out in zip(bottom[2:], top[2:], strict=True)]

    def _mean(self, blobs: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
        """Return what is subtracted of the blobs, and how much of the batch's own mean besides."""
        p = self.param
        if not p.recompute_mean:
            values = p.mean if len(p.mean) == 3 and not p.mean_per_pixel else [0.0]
            return np.array(values, np.float32).reshape(1, -1, 1, 1), 0.0
        batch = int(blobs[0].ravel()[0]) + 1
        if batch > p.recompute_mean:
            return blobs[1] if p.mean_per_pixel else blobs[2], 0.0
        mean = blobs[1] * np.float32((batch - 1) / batch)
        return mean if p.mean_per_pixel else mean.mean((2, 3), keepdims=True), 1 / batch

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        if self._crops:
            rows, columns = self._matrices(scope.bottom_shapes[0], scope.top_shapes[0])
            x = scope.op("MatMul", x, scope.const(np.ascontiguousarray(columns.T)))
            x = scope.op("MatMul", scope.const(rows), x)
        mean, share = self._mean(scope.blobs)
        if share:
            axes = [0] if self.param.mean_per_pixel else [0, 2, 3]
            own = scope.op("Mul", scope.op("ReduceMean", x, axes=axes, keepdims=1), scope.const(share))
            return [scope.op("Sub", scope.op("Sub", x, own), scope.const(mean))]
        return [scope.op("Sub", x, scope.const(mean))]

    def torch(self, scope: TorchScope) -> Compute:
        torch, per_pixel, crops, count = (
            scope.torch,
            self.param.mean_per_pixel,
            self._crops,
            len(scope.node.blob_shapes),
        )
        scope.statistic(*range(count))
        if crops:
            for name, matrix in zip(
                ("rows", "columns"), self._matrices(scope.bottom_shapes[0], scope.top_shapes[0]), strict=True
            ):
                scope.constant(name, matrix)

        def compute(own: Any, x: Any) -> list[Any]:
            x = own.rows @ x @ own.columns.T if crops else x
            mean, share = self._mean([own.blob(i).float().cpu().numpy() for i in range(count)])
            batch = x.mean(0 if per_pixel else (0, 2, 3), keepdim=True)
            return [x - share * batch - torch.from_numpy(mean).to(x.device, x.dtype)]

        return compute
