"""Scale and Bias: a learned or computed blob, broadcast from an axis and multiplied or added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine, Folded, Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


def scale_layer(proto: pb.LayerParameter, a: np.ndarray, b: np.ndarray, dtype: Any) -> Folded:
    """Return the Scale layer that computes ``a[c] * x + b[c]`` in the place of a layer, its blobs of a type."""
    scale = pb.LayerParameter(name=proto.name, type="Scale", bottom=proto.bottom, top=proto.top)
    if proto.HasField("phase"):
        scale.phase = proto.phase
    scale.scale_param.bias_term = True
    return Folded(scale, (a.astype(dtype), b.astype(dtype)))


class BroadcastLayer(Layer):
    """Shapes of an operand that is broadcast: bottom axes from ``axis`` on, ``num_axes`` of them (-1: to the end)."""

    bottom_count = (1, 2)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.operand_shape(bottoms)
        return [bottoms[0]]

    def operand_shape(self, bottoms: Sequence[Shape]) -> Shape:
        """Return the shape of what is broadcast: the second bottom's, or that of the learned blob.

        Raises
        ------
        ShapeError
            If it does not lie within the first bottom.
        """
        x = bottoms[0]
        if len(bottoms) == 1:
            axis, count = self.axis(self.param.axis, len(x)), int(self.param.num_axes)
            if count < -1:
                self.fail(f"num_axes {count} must be -1 or more")
            if axis + count > len(x):
                self.fail(f"axis {axis} and num_axes {count} reach beyond the {len(x)} axes of the bottom")
            return x[axis:] if count == -1 else x[axis : axis + count]
        operand, axis = bottoms[1], self.start(bottoms)
        if x[axis : axis + len(operand)] != operand:
            self.fail(f"second bottom {operand} does not match the axes of {x} from {axis} on")
        return operand

    def start(self, bottoms: Sequence[Shape]) -> int:
        """Return the first bottom axis that the operand lies on; 0 for a scalar."""
        if len(bottoms) > 1 and not bottoms[1]:
            return 0
        return self.axis(self.param.axis, len(bottoms[0]))

    def affine(self, blobs: Sequence[np.ndarray], channels: int) -> Affine | None:
        if not self._is_per_channel(blobs) or blobs[0].shape not in ((), (channels,)):
            return None
        own = self._map(blobs)
        return Affine(np.broadcast_to(own.a, channels), np.broadcast_to(own.b, channels))

    def why_not_affine(self) -> str | None:
        if len(self.proto.bottom) == 2:
            return "what it multiplies or adds is another blob, not learned"
        return None if self.param.axis == 1 else f"it runs along axis {self.param.axis}, not along the channels"

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if not self._is_per_channel(blobs) or blobs[0].shape not in ((), map_.a.shape):
            return None
        own = self._map(blobs)
        return scale_layer(self.proto, map_.a * own.a, map_.a * own.b + map_.b, blobs[0].dtype)

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if not self._is_per_channel(blobs) or blobs[0].shape not in ((), map_.a.shape):
            return None
        own = self._map(blobs)
        return scale_layer(self.proto, own.a * map_.a, own.a * map_.b + own.b, blobs[0].dtype)

    def _is_per_channel(self, blobs: Sequence[np.ndarray]) -> bool:
        """Return whether the operand is learned and a scalar, or lies on axis 1."""
        return len(self.proto.bottom) == 1 and (blobs[0].ndim == 0 or self.param.axis == 1)

    def _map(self, blobs: Sequence[np.ndarray]) -> Affine:
        """Return the map of the learned blobs, in their own shape."""
        raise NotImplementedError

    def _aligned_blob(self, scope: LayerScope, index: int) -> str:
        """Append a learned blob in the rank of the first bottom."""
        rank, start, blob = len(scope.bottom_shapes[0]), self.start(scope.bottom_shapes), scope.blobs[index]
        if start == 0 and blob.ndim:
            scope.fix_batch()  # a learned blob that spans the batch axis
        return scope.const(blob.reshape((1,) * start + blob.shape + (1,) * (rank - start - blob.ndim)))

    def _aligned_bottom(self, scope: LayerScope) -> str:
        """Append the second bottom in the rank of the first."""
        (x, operand), start = scope.bottom_shapes, self.start(scope.bottom_shapes)
        axes = [i for i in range(len(x)) if not start <= i < start + len(operand)]
        return scope.op("Unsqueeze", scope.bottoms[1], scope.ints(axes)) if axes and operand else scope.bottoms[1]

    def _aligned(self, bottoms: Sequence[Shape]) -> Callable[[Any], Any]:
        """Return what brings a torch operand to the rank that broadcasts it over the first bottom."""
        behind = len(bottoms[0]) - self.start(bottoms) - len(self.operand_shape(bottoms))
        return lambda operand: operand.reshape(operand.shape + (1,) * behind)


@register("Scale")
class Scale(BroadcastLayer):
    """``x * scale [+ bias]``, both broadcast from ``axis``.

    With one bottom, blobs: scale, then bias if ``bias_term``. With two, the second bottom is the scale and the bias,
    of the same shape, is the only blob.
    """

    param_name = "scale_param"

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        count = (len(bottoms) == 1) + bool(self.param.bias_term)
        return [self.operand_shape(bottoms)] * count

    def fillers(self, count: int) -> list[pb.FillerParameter]:
        scale = self.param.filler if self.param.HasField("filler") else pb.FillerParameter(value=1)
        return [*([scale] if len(self.proto.bottom) == 1 else []), self.param.bias_filler][:count]

    def onnx(self, scope: LayerScope) -> list[str]:
        learned = len(scope.bottoms) == 1
        operand = self._aligned_blob(scope, 0) if learned else self._aligned_bottom(scope)
        y = scope.op("Mul", scope.bottoms[0], operand)
        return [scope.op("Add", y, self._aligned_blob(scope, -1)) if self.param.bias_term else y]

    def torch(self, scope: TorchScope) -> Compute:
        torch, aligned = scope.torch, self._aligned(scope.bottom_shapes)
        scope.learn()
        if len(scope.bottom_shapes) == 2:
            if self.param.bias_term:
                return lambda own, x, scale: [torch.addcmul(aligned(own.blob0), x, aligned(scale))]
            return lambda own, x, scale: [x * aligned(scale)]
        if self.param.bias_term:
            return lambda own, x: [torch.addcmul(aligned(own.blob1), x, aligned(own.blob0))]
        return lambda own, x: [x * aligned(own.blob0)]

    def numbers(self, blobs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        names = ("gamma", "beta") if len(self.proto.bottom) == 1 else ("beta",)
        return {name: np.asarray(b, np.float64) for name, b in zip(names, blobs, strict=False)}

    def _map(self, blobs: Sequence[np.ndarray]) -> Affine:
        scale = np.asarray(blobs[0], np.float64)
        return Affine(scale, np.asarray(blobs[1], np.float64) if self.param.bias_term else np.zeros_like(scale))


@register("Bias")
class Bias(BroadcastLayer):
    """``x + bias``, broadcast from ``axis``; the bias is the only blob, or the second bottom."""

    param_name = "bias_param"

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [self.operand_shape(bottoms)] if len(bottoms) == 1 else []

    def fillers(self, count: int) -> list[pb.FillerParameter]:
        return [self.param.filler][:count]

    def onnx(self, scope: LayerScope) -> list[str]:
        learned = len(scope.bottoms) == 1
        operand = self._aligned_blob(scope, 0) if learned else self._aligned_bottom(scope)
        return [scope.op("Add", scope.bottoms[0], operand)]

    def torch(self, scope: TorchScope) -> Compute:
        aligned = self._aligned(scope.bottom_shapes)
        scope.learn()
        if len(scope.bottom_shapes) == 2:
            return lambda own, x, bias: [x + aligned(bias)]
        return lambda own, x: [x + aligned(own.blob0)]

    def numbers(self, blobs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(("beta",), (np.asarray(b, np.float64) for b in blobs), strict=False))

    def _map(self, blobs: Sequence[np.ndarray]) -> Affine:
        return Affine(np.ones(blobs[0].shape), np.asarray(blobs[0], np.float64))
