"""MVN and Normalize: blobs normalised by their own statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, PlainForm, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

FACE_EPSILON = 1e-6
"""What face recognition's Normalize adds to a sum."""


@register("MVN")
class MVN(Layer):
    """``(x - mean) / (sqrt(variance) + eps)`` over each channel of a sample, or ``across_channels`` over the sample.

    Without ``normalize_variance`` the mean only is taken off. The variance is the biased one; eps is added to its root.
    The top always has four axes.
    """

    param_name = "mvn_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) > 4:
            self.fail(f"takes a blob with at most 4 axes, has {bottoms[0]}")
        return [(*bottoms[0], 1, 1, 1, 1)[:4]]

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        if len(scope.bottom_shapes[0]) < 4:
            x = scope.reshape(x, [0, *scope.top_shapes[0][1:]])
        axes = [1, 2, 3] if self.param.across_channels else [2, 3]
        x = scope.op("Sub", x, scope.op("ReduceMean", x, axes=axes, keepdims=1))
        if not self.param.normalize_variance:
            return [x]
        variance = scope.op("ReduceMean", scope.op("Mul", x, x), axes=axes, keepdims=1)
        deviation = scope.op("Add", scope.op("Sqrt", variance), scope.const(self.param.eps))
        return [scope.op("Div", x, deviation)]

    def torch(self, scope: TorchScope) -> Compute:
        inner, eps, scaled = scope.top_shapes[0][1:], self.param.eps, self.param.normalize_variance
        axes = (1, 2, 3) if self.param.across_channels else (2, 3)

        def compute(own: Any, x: Any) -> list[Any]:
            x = x.reshape(-1, *inner)
            x = x - x.mean(axes, keepdim=True)
            return [x / (x.square().mean(axes, keepdim=True).sqrt() + eps) if scaled else x]

        return compute


@register("Normalize")
class Normalize(Layer):
    """``x / sqrt(sum x^2 + eps) * scale`` with the sum over a sample, or over the channels of each pixel (SSD's fork).

    Blobs: scale, [] with ``channel_shared`` (the default), otherwise [C].

    Without ``norm_param`` it is that of face recognition's forks (``normalize_layer.cpp`` of happynear/caffe-windows):
    over the channels of each pixel, eps 1e-6, no blob; with ``normalize_type: "L1"`` ``x / (sum |x| + eps)``. Its tops
    have four axes; the second one is what x was divided by, [N, 1, H, W].
    """

    param_name = "norm_param"
    top_count = (1, 2)

    @property
    def of_faces(self) -> bool:
        """Whether it is the layer without a scale."""
        return not self.proto.HasField("norm_param")

    @property
    def eps(self) -> float:
        """What is added to the sum."""
        return FACE_EPSILON if self.of_faces else float(self.param.eps)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if not 2 <= len(x) <= 4:
            self.fail(f"takes a blob with 2 to 4 axes, has {x}")
        if not self.of_faces:
            if self.top_number == 2:
                self.fail("takes 1 top(s), has 2")
            return [x]
        if not self.proto.HasField("normalize_param") and math.prod(x[2:]) != 1:
            self.fail(
                "says nothing of its sums: forks differ over maps",
                hint="norm_param { } sums over a sample, normalize_param { } over the channels of each pixel",
            )
        if self.proto.normalize_param.normalize_type not in ("L1", "L2"):
            self.fail(f"normalize_type {self.proto.normalize_param.normalize_type} is neither L1 nor L2")
        shape = (*x, *(1,) * (4 - len(x)))
        return [shape, (shape[0], 1, *shape[2:])][: self.top_number]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.of_faces:
            return []
        return [() if self.param.channel_shared else (bottoms[0][1],)]

    def fillers(self, count: int) -> list[pb.FillerParameter]:
        return [self.param.scale_filler if self.param.HasField("scale_filler") else pb.FillerParameter(value=1)][:count]

    def _axes(self, rank: int) -> list[int]:
        return list(range(1, rank)) if self.param.across_spatial and not self.of_faces else [1]

    def onnx(self, scope: LayerScope) -> list[str]:
        x, rank = scope.bottoms[0], len(scope.bottom_shapes[0])
        if self.of_faces:
            return self._faces(scope)
        total = scope.op("ReduceSum", scope.op("Mul", x, x), scope.ints(self._axes(rank)), keepdims=1)
        x = scope.op("Div", x, scope.op("Sqrt", scope.op("Add", total, scope.const(self.eps))))
        scale = scope.blobs[0].reshape(-1, *(1 for _ in range(rank - 2)))
        return [scope.op("Mul", x, scope.const(scale))]

    def _faces(self, scope: LayerScope) -> list[str]:
        shape, x = scope.top_shapes[0], scope.bottoms[0]
        x = x if len(scope.bottom_shapes[0]) == 4 else scope.reshape(x, [0, *shape[1:]])
        squares = self.proto.normalize_param.normalize_type == "L2"
        terms = scope.op("Mul", x, x) if squares else scope.op("Abs", x)
        norm = scope.op("Add", scope.op("ReduceSum", terms, scope.ints([1]), keepdims=1), scope.const(self.eps))
        norm = scope.op("Sqrt", norm) if squares else norm
        return [scope.op("Div", x, norm), norm][: self.top_number]

    def torch(self, scope: TorchScope) -> Compute:
        rank, eps, tops = len(scope.bottom_shapes[0]), self.eps, self.top_number
        axes, behind = tuple(self._axes(rank)), (1,) * (rank - 2)
        inner, squares = scope.top_shapes[0][1:], self.proto.normalize_param.normalize_type == "L2"
        if self.of_faces:

            def of_faces(own: Any, x: Any) -> list[Any]:
                x = x.reshape(-1, *inner)
                norm = (x.square() if squares else x.abs()).sum(1, keepdim=True) + eps
                norm = norm.sqrt() if squares else norm
                return [x / norm, norm][:tops]

            return of_faces
        scope.learn(0)
        return lambda own, x: [x * (x.square().sum(axes, keepdim=True) + eps).rsqrt() * own.blob0.reshape(-1, *behind)]

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm | None:
        """Return an LRN whose window holds all channels: ``x (k + alpha / n * sum)^-1/2``, k = eps and alpha = n."""
        shape, norm = bottoms[0], f"{self.name}/norm"
        if self.top_number == 2 or self.proto.normalize_param.normalize_type != "L2":
            return None
        layers: list[pb.LayerParameter] = []
        blob = self.proto.bottom[0]
        across = self._axes(len(shape)) != [1]
        whole = across or len(shape) != 4
        channels = math.prod(shape[1:]) if across else shape[1]
        if whole:
            flat = f"{self.name}/flat"
            layers.append(pb.LayerParameter(name=flat, type="Reshape", bottom=[blob], top=[flat]))
            layers[-1].reshape_param.shape.dim.extend([0, channels, math.prod(shape[1:]) // channels, 1])
            blob = flat
        layers.append(pb.LayerParameter(name=norm, type="LRN", bottom=[blob], top=[norm]))
        param = layers[-1].lrn_param
        param.local_size, param.alpha, param.beta, param.k = 2 * channels - 1, 2 * channels - 1, 0.5, self.eps
        if whole:
            layers.append(pb.LayerParameter(name=f"{norm}2", type="Reshape", bottom=[norm], top=[f"{norm}2"]))
            layers[-1].reshape_param.shape.dim.extend([0, *self.top_shapes(bottoms)[0][1:]])
            norm = f"{norm}2"
        if self.of_faces:
            layers[-1].name, layers[-1].top[0] = self.name, self.proto.top[0]
            return PlainForm(layers)
        layers.append(pb.LayerParameter(name=self.name, type="Scale", bottom=[norm], top=self.proto.top))
        layers[-1].scale_param.num_axes = 0 if self.param.channel_shared else 1
        return PlainForm(layers)
