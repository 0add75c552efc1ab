"""Convolutions of forks over three axes, in words of their own: Convolution3D and NdConvolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine, Folded, PlainForm, Shape, register
from caffezoo.net.layers.convolution import Convolution

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


class Respelt(Convolution):
    """A convolution that reads its settings as a Convolution would spell them."""

    def __init__(self, proto: pb.LayerParameter, where: str = "", phase: int = pb.TEST) -> None:
        super().__init__(proto, where, phase)
        self.param = self.respelt()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.param = self.respelt()

    def respelt(self) -> pb.ConvolutionParameter:
        """Return the settings as BVLC's Convolution takes them."""
        raise NotImplementedError

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        return None

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        return None

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm | None:
        layer = pb.LayerParameter(name=self.name, type="Convolution", bottom=self.proto.bottom, top=self.proto.top)
        layer.convolution_param.CopyFrom(self.param)
        layer.param.extend(self.proto.param)
        return PlainForm([layer])


@register("Convolution3D")
class Convolution3D(Respelt):
    """Convolution over depth, height and width (``convolution3d_layer.cpp`` of facebook/C3D).

    ``kernel_size``, ``stride`` and ``pad`` are those of height and width; depth has ``kernel_depth``,
    ``temporal_stride`` and ``temporal_pad``. Blobs: weight [N, C / g, kd, k, k], bias [1, 1, 1, 1, N].
    """

    def respelt(self) -> pb.ConvolutionParameter:
        own: Any = self.proto.convolution3d_param
        p: Any = own if self.proto.HasField("convolution3d_param") else self.proto.convolution_param
        kernel, stride, pad = (
            int(values) if isinstance(values, int) else int([*values, default][0])
            for values, default in ((p.kernel_size, 0), (p.stride, 1), (p.pad, 0))
        )
        return pb.ConvolutionParameter(
            num_output=p.num_output,
            bias_term=p.bias_term,
            kernel_size=[p.kernel_depth, kernel, kernel],
            stride=[p.temporal_stride, stride, stride],
            pad=[p.temporal_pad, pad, pad],
            group=max(int(p.group), int(p.filter_group)),
        )

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) != 5:
            self.fail(f"takes a blob with 5 axes, has {bottoms[0]}")
        return super().top_shapes(bottoms)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        weight, *bias = super().blob_shapes(bottoms)
        return [weight, *((1, 1, 1, 1, *b) for b in bias)]

    def onnx(self, scope: LayerScope) -> list[str]:
        weight, *bias = scope.blobs
        return super().onnx(scope.for_part(scope.node, blobs=(weight, *(b.reshape(-1) for b in bias))))

    def torch(self, scope: TorchScope) -> Compute:
        F, group = scope.F, int(self.param.group)
        stride, pad = list(self.param.stride), list(self.param.pad)
        scope.learn()

        def compute(own: Any, *xs: Any) -> list[Any]:
            bias = own.blob1.reshape(-1) if self.param.bias_term else None
            return [F.conv3d(x, own.blob0, bias, stride, pad, 1, group) for x in xs]

        return compute

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm | None:
        return None


@register("NdConvolution")
class NdConvolution(Respelt):
    """Convolution over any axes, whose ``kernel_shape``, ``stride_shape`` and ``pad_shape`` are lists
    (``ndim_convolution_layer.cpp`` of yjxiong/caffe)."""

    def respelt(self) -> pb.ConvolutionParameter:
        p = self.proto.convolution_param
        found = pb.ConvolutionParameter(num_output=p.num_output, bias_term=p.bias_term, group=p.group, axis=p.axis)
        lists = ((p.kernel_size, p.kernel_shape), (p.stride, p.stride_shape), (p.pad, p.pad_shape))
        for own, (values, shape) in zip((found.kernel_size, found.stride, found.pad), lists, strict=True):
            own.extend(list(values) or [int(d) for d in shape.dim])
        return found
