"""Interp (DeepLab, PSPNet): bilinear resizing with aligned corners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, PlainForm, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Interp")
class Interp(Layer):
    """Bilinear resizing where output pixel i looks at input pixel ``i (in - 1) / (out - 1)``, 0 if out is 1.

    ``pad_beg`` and ``pad_end``, 0 or below, first crop the bottom. The size is that of the second bottom, or height and
    width, or follows from ``shrink_factor``, ``(h - 1) / f + 1``, and ``zoom_factor``, ``h + (h - 1)(f - 1)``.
    """

    param_name = "interp_param"
    bottom_count = (1, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if any(len(b) != 4 for b in bottoms):
            self.fail(f"takes blobs with 4 axes, has {', '.join(str(b) for b in bottoms)}")
        if self.param.use_blob_size and len(bottoms) < 2:
            self.fail("use_blob_size takes a second bottom")
        sizes = [stop - start for start, stop in self._kept(bottoms[0])]
        if min(sizes) < 1:
            self.fail(f"pad_beg {self.param.pad_beg} and pad_end {self.param.pad_end} leave nothing of {bottoms[0]}")
        out = bottoms[1][2:] if len(bottoms) == 2 else self._resized(sizes)
        if min(out) < 1:
            self.fail(f"height and width must be positive, are {out}")
        return [(*bottoms[0][:2], *out)]

    def _kept(self, bottom: Shape) -> list[tuple[int, int]]:
        """Return first and end pixel of what the cropping leaves, for height and width."""
        begin, end = int(self.param.pad_beg), int(self.param.pad_end)
        if begin > 0 or end > 0:
            self.fail(f"pad_beg {begin} and pad_end {end} must be 0 or below")
        return [(-begin, size + end) for size in bottom[2:]]

    def _resized(self, sizes: Sequence[int]) -> Shape:
        shrink, zoom = int(self.param.shrink_factor), int(self.param.zoom_factor)
        factors = self.param.HasField("shrink_factor") or self.param.HasField("zoom_factor")
        if not factors:
            if not (self.param.HasField("height") and self.param.HasField("width")):
                self.fail("has no size", hint="give height and width, shrink_factor or zoom_factor, or a second bottom")
            return int(self.param.height), int(self.param.width)
        if min(shrink, zoom) < 1:
            self.fail("shrink_factor and zoom_factor must be 1 or more")
        shrunk = [(s - 1) // shrink + 1 for s in sizes]
        return tuple(s + (s - 1) * (zoom - 1) for s in shrunk)

    def _matrices(self, bottom: Shape, top: Shape) -> tuple[np.ndarray, np.ndarray]:
        """Return the interpolation along height and along width, each [out, in], float32."""
        rows, columns = (
            interpolation_matrix(size, start, stop, out)
            for size, (start, stop), out in zip(bottom[2:], self._kept(bottom), top[2:], strict=True)
        )
        return rows, columns

    def onnx(self, scope: LayerScope) -> list[str]:
        rows, columns = self._matrices(scope.bottom_shapes[0], scope.top_shapes[0])
        x = scope.op("MatMul", scope.bottoms[0], scope.const(np.ascontiguousarray(columns.T)))
        return [scope.op("MatMul", scope.const(rows), x)]

    def torch(self, scope: TorchScope) -> Compute:
        F, size = scope.F, scope.top_shapes[0][2:]
        (top, bottom), (left, right) = self._kept(scope.bottom_shapes[0])
        return lambda own, x, *reference: [
            F.interpolate(x[:, :, top:bottom, left:right], size, mode="bilinear", align_corners=True)
        ]

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm:
        """Return an InnerProduct over the width, and a 1x1 convolution that takes the rows for channels."""
        (_, channels, height, _), (_, _, out_h, out_w) = bottoms[0], self.top_shapes(bottoms)[0]
        rows, columns = self._matrices(bottoms[0], (1, 1, out_h, out_w))
        width, flat, resized = f"{self.name}/width", f"{self.name}/rows", f"{self.name}/height"
        layers = [pb.LayerParameter(name=width, type="InnerProduct", bottom=self.proto.bottom[:1], top=[width])]
        layers[0].inner_product_param.CopyFrom(pb.InnerProductParameter(num_output=out_w, bias_term=False, axis=3))
        layers.append(pb.LayerParameter(name=flat, type="Reshape", bottom=[width], top=[flat]))
        layers[-1].reshape_param.shape.dim.extend([-1, height, 1, out_w])
        layers.append(pb.LayerParameter(name=resized, type="Convolution", bottom=[flat], top=[resized]))
        layers[-1].convolution_param.CopyFrom(
            pb.ConvolutionParameter(num_output=out_h, bias_term=False, kernel_size=[1])
        )
        if len(self.proto.bottom) == 2:
            layers.append(pb.LayerParameter(name=f"{self.name}/size", type="Silence", bottom=self.proto.bottom[1:]))
        layers.append(pb.LayerParameter(name=self.name, type="Reshape", bottom=[resized], top=self.proto.top))
        layers[-1].reshape_param.shape.dim.extend([-1, channels, out_h, out_w])
        return PlainForm(layers, {width: [columns], resized: [rows.reshape(out_h, height, 1, 1)]})


def interpolation_matrix(size: int, start: int, stop: int, out: int) -> np.ndarray:
    """Return the float32 matrix [out, size] that interpolates pixels ``start`` to ``stop`` of a line linearly."""
    ratio = np.float32(stop - start - 1) / np.float32(out - 1) if out > 1 else np.float32(0)
    place = ratio * np.arange(out, dtype=np.float32)
    low = np.minimum(place.astype(np.int64), stop - start - 1)
    weight = place - low.astype(np.float32)
    matrix = np.zeros((out, size), np.float32)
    lines = np.arange(out)
    np.add.at(matrix, (lines, start + low), 1 - weight)
    np.add.at(matrix, (lines, start + np.minimum(low + 1, stop - start - 1)), weight)
    return matrix
