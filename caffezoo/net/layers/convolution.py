"""Convolution and the depthwise forms of the forks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine, Folded, Layer, PlainForm, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@dataclass(frozen=True)
class Window:
    """Kernel, stride, pad and dilation of every spatial axis, in pixels; ``behind`` is the pad at an axis' end where
    that is another."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape
    behind: Shape = ()

    @property
    def end_pad(self) -> Shape:
        """Pixels that are padded behind each axis."""
        return self.behind or self.pad

    @property
    def extent(self) -> Shape:
        """Pixels that the dilated kernel spans: ``d (k - 1) + 1``."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


class ConvolutionBase(Layer):
    """What Caffe's convolutions share: the window, the channel axis, groups and several bottoms."""

    param_name = "convolution_param"
    bottom_count: ClassVar[tuple[int, int | None]] = (1, None)
    top_count: ClassVar[tuple[int, int | None]] = (1, None)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms) != len(self.proto.top):
            self.fail(f"takes as many tops as bottoms, has {len(bottoms)} bottom(s) and {len(self.proto.top)} top(s)")
        if any(shape != bottoms[0] for shape in bottoms[1:]):
            self.fail(f"all bottoms must have one shape, found {', '.join(str(s) for s in bottoms)}")
        axis = self.channel_axis(bottoms[0])
        window = self.window(bottoms[0])
        self._check_channels(bottoms[0][axis])
        spatial = self._output_size(bottoms[0][axis + 1 :], window)
        top = (*bottoms[0][:axis], self.output_channels(bottoms[0]), *spatial)
        return [top] * len(bottoms)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        channels = bottoms[0][self.channel_axis(bottoms[0])]
        weight = (*self._weight_channels(channels), *self.window(bottoms[0]).kernel)
        return [weight, (self.output_channels(bottoms[0]),)] if self.param.bias_term else [weight]

    def channel_axis(self, bottom: Shape) -> int:
        """Return the axis that holds the channels; all axes after it are spatial."""
        return self.axis(self.param.axis, len(bottom))

    def output_channels(self, bottom: Shape) -> int:
        """Return the channels of the top."""
        return int(self.param.num_output)

    def group_count(self, bottom: Shape) -> int:
        """Return the number of groups that channels are split into."""
        return int(self.param.group)

    def window(self, bottom: Shape) -> Window:
        """Return the window over the spatial axes of a bottom.

        Raises
        ------
        ShapeError
            If the kernel is missing or a setting is given twice or the wrong number of times.
        """
        rank = len(bottom) - self.channel_axis(bottom) - 1
        kernel = self._setting("kernel", "kernel_size", rank, None)
        stride = self._setting("stride", "stride", rank, 1)
        sides = self._sides(rank)
        pad = sides[0] if sides else self._setting("pad", "pad", rank, 0)
        dilation = self._dilation(rank)
        if any(k == 0 for k in kernel):
            self.fail("kernel sizes must be positive", hint="give kernel_size, or both kernel_h and kernel_w")
        if any(s == 0 for s in stride):
            self.fail("strides must be positive", hint="give stride, or both stride_h and stride_w")
        if any(d == 0 for d in dilation):
            self.fail("dilations must be positive")
        return Window(kernel, stride, pad, dilation, sides[1] if sides else ())

    def _dilation(self, rank: int) -> Shape:
        """Return the dilations; DeepLab's Caffe calls them holes."""
        names = ("hole", "hole_h", "hole_w")
        if not any(self.param.HasField(name) for name in names):
            return self._repeated("dilation", list(self.param.dilation), rank, 1)
        if self.param.dilation or rank != 2:
            self.fail("hole is for two spatial axes, and excludes dilation")
        both = self.param.hole if self.param.HasField("hole") else 1
        return tuple(int(getattr(self.param, n) if self.param.HasField(n) else both) for n in names[1:])

    def _sides(self, rank: int) -> tuple[Shape, Shape] | None:
        """Return pads before and behind each axis where Synopsys' converter of TensorFlow networks gives one for every
        side."""
        if not any(self.param.HasField(f"pad_{side}") for side in "lrtb"):
            return None
        if rank != 2 or self.param.pad or self.param.pad_h or self.param.pad_w:
            self.fail("pad_l, pad_r, pad_t and pad_b are for two spatial axes, and exclude pad")
        left, right, top, bottom = (int(getattr(self.param, f"pad_{side}")) for side in "lrtb")
        return (top, left), (bottom, right)

    def _setting(self, stem: str, repeated: str, rank: int, default: int | None) -> Shape:
        values = list(getattr(self.param, repeated))
        if self.param.HasField(f"{stem}_h") or self.param.HasField(f"{stem}_w"):
            if rank != 2:
                self.fail(f"{stem}_h and {stem}_w are for two spatial axes, the bottom has {rank}")
            if values:
                self.fail(f"{repeated} and {stem}_h/{stem}_w exclude each other")
            return (int(getattr(self.param, f"{stem}_h")), int(getattr(self.param, f"{stem}_w")))
        return self._repeated(repeated, values, rank, default)

    def _repeated(self, name: str, values: list[int], rank: int, default: int | None) -> Shape:
        if not values and default is not None:
            return (default,) * rank
        if len(values) == 1:
            return (int(values[0]),) * rank
        if len(values) != rank:
            wanted = "once" if rank == 1 else f"once or {rank} times"
            self.fail(f"{name} must be given {wanted}, is given {len(values)} time(s)")
        return tuple(int(v) for v in values)

    def _check_channels(self, channels: int) -> None:
        output, group = int(self.param.num_output), int(self.param.group)
        if output == 0:
            self.fail("num_output must be positive")
        if group == 0:
            self.fail("group must be positive")
        if channels % group:
            self.fail(f"{channels} channels cannot be split into {group} groups")
        if output % group:
            self.fail(f"num_output {output} cannot be split into {group} groups")

    def _output_size(self, spatial: Shape, window: Window) -> Shape:
        raise NotImplementedError

    def _weight_channels(self, channels: int) -> Shape:
        return (int(self.param.num_output), channels // int(self.param.group))

    def kernel(self, blobs: Sequence[np.ndarray], bottoms: Sequence[Shape]) -> np.ndarray | None:
        weight = self._by_output(blobs[0])
        return weight.reshape(-1, *weight.shape[2:])

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if self.param.axis != 1 or len(self.proto.bottom) != 1 or map_.a.size != self._outputs(blobs):
            return None
        weight = self._by_output(np.asarray(blobs[0]))
        a = map_.a.reshape(weight.shape[:2] + (1,) * (weight.ndim - 2))
        # float64 products, rounded into the blob's own type piece by piece: large weights are never copied in float64.
        weight = np.multiply(weight, a, out=np.empty(weight.shape, blobs[0].dtype), casting="same_kind")
        bias = np.asarray(blobs[1], np.float64) if self.param.bias_term else 0.0
        return self._folded(self._from_output(weight, blobs[0].shape), map_.a * bias + map_.b, blobs[0].dtype)

    def _folded(self, weight: np.ndarray, bias: np.ndarray, dtype: Any) -> Folded:
        """Return this layer with a bias, its blobs of the type that the unfolded ones have."""
        proto = pb.LayerParameter()
        proto.CopyFrom(self.proto)
        proto.convolution_param.ClearField("bias_term")
        return Folded(proto, (np.asarray(weight, dtype), bias.astype(dtype)))

    def _outputs(self, blobs: Sequence[np.ndarray]) -> int:
        return int(blobs[0].shape[0])

    def _by_output(self, weight: np.ndarray) -> np.ndarray:
        """Return the weight as [group, outputs of a group, ...]."""
        return weight.reshape(self._groups(weight), -1, *weight.shape[1:])

    def _from_output(self, weight: np.ndarray, shape: Shape) -> np.ndarray:
        return weight.reshape(shape)

    def _groups(self, weight: np.ndarray) -> int:
        return int(self.param.group)

    def _onnx(self, scope: LayerScope, kind: str, group: int) -> list[str]:
        shape = scope.bottom_shapes[0]
        window = self.window(shape)
        if self.channel_axis(shape) != 1 or not 1 <= len(window.kernel) <= 3:
            raise scope.refuse("only channels on axis 1 and one to three spatial axes have an ONNX form")
        blobs = [scope.blob(i) for i in range(len(scope.blobs))]
        attributes: dict[str, Any] = {
            "kernel_shape": list(window.kernel),
            "strides": list(window.stride),
            "pads": [*window.pad, *window.end_pad],
            "dilations": list(window.dilation),
            "group": group,
        }
        return [scope.op(kind, x, *blobs, **attributes) for x in scope.bottoms]

    def _torch(self, scope: TorchScope, kind: str, group: int) -> Compute:
        shape = scope.bottom_shapes[0]
        window = self.window(shape)
        rank, has_bias = len(window.kernel), bool(self.param.bias_term)
        if self.channel_axis(shape) != 1 or not 1 <= rank <= 3:
            raise scope.refuse("only channels on axis 1 and one to three spatial axes have a torch form")
        convolve = getattr(scope.F, f"{kind}{rank}d")
        setting = {"stride": window.stride, "padding": window.pad, "groups": group, "dilation": window.dilation}
        scope.learn()
        if window.end_pad != window.pad:
            if kind != "conv":
                raise scope.refuse("pads that differ from side to side have no torch form")
            F, border = scope.F, [p for pair in zip(window.pad, window.end_pad, strict=True) for p in pair]
            border = [*border[2:], *border[:2]]  # torch begins with the last axis
            setting["padding"] = 0
            return lambda own, *xs: [
                convolve(F.pad(x, border), own.blob0, own.blob1 if has_bias else None, **setting) for x in xs
            ]
        return lambda own, *xs: [convolve(x, own.blob0, own.blob1 if has_bias else None, **setting) for x in xs]


@register("Convolution")
class Convolution(ConvolutionBase):
    """Cross-correlation: an axis of H pixels gives ``(H + 2 p - (d (k - 1) + 1)) / s + 1``, rounded down.

    Blobs: weight [num_output, in / group, k...], bias [num_output] unless ``bias_term: false``.
    """

    def _output_size(self, spatial: Shape, window: Window) -> Shape:
        sizes = []
        pads = zip(window.pad, window.end_pad, strict=True)
        for size, extent, stride, (pad, end) in zip(spatial, window.extent, window.stride, pads, strict=True):
            # Caffe's integer division truncates toward zero and would let a kernel hang over a padded image.
            if size + pad + end < extent:
                self.fail(f"a kernel that spans {extent} px does not fit {size} px padded by {pad}")
            sizes.append((size + pad + end - extent) // stride + 1)
        return tuple(sizes)

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Return output elements x (input channels of a group x kernel area); the bias is not counted."""
        weight = self.blob_shapes(bottoms)[0]
        return sum(math.prod(top) for top in tops) * math.prod(weight[1:])

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm | None:
        if not any(self.param.HasField(name) for name in ("hole", "hole_h", "hole_w")):
            return None
        layer = pb.LayerParameter()
        layer.CopyFrom(self.proto)
        for name in ("hole", "hole_h", "hole_w"):
            layer.convolution_param.ClearField(name)
        layer.convolution_param.dilation.extend(self.window(bottoms[0]).dilation)
        return PlainForm([layer])

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        padded = any(self.param.pad) or self.param.pad_h or self.param.pad_w
        padded = padded or any(getattr(self.param, f"pad_{side}") for side in "lrtb")
        if padded and map_.b.any():
            return None  # the zeros of the padding would have to become -b / a
        weight = self._by_output(np.asarray(blobs[0]))
        group, inputs = weight.shape[0], weight.shape[2]
        if self.param.axis != 1 or len(self.proto.bottom) != 1 or map_.a.size != group * inputs:
            return None
        weight = weight.astype(np.float64)
        line = (group, 1, inputs, *(1 for _ in weight.shape[3:]))
        bias = (weight * map_.b.reshape(line)).sum(axis=tuple(range(2, weight.ndim))).reshape(-1)
        bias = bias + np.asarray(blobs[1], np.float64) if self.param.bias_term else bias
        return self._folded((weight * map_.a.reshape(line)).reshape(blobs[0].shape), bias, blobs[0].dtype)

    def onnx(self, scope: LayerScope) -> list[str]:
        return self._onnx(scope, "Conv", self.group_count(scope.bottom_shapes[0]))

    def torch(self, scope: TorchScope) -> Compute:
        return self._torch(scope, "conv", self.group_count(scope.bottom_shapes[0]))


@register("ConvolutionDepthwise", "DepthwiseConvolution")
class ConvolutionDepthwise(Convolution):
    """Convolution with a kernel of its own for every channel: group = channels.

    ConvolutionDepthwise ignores num_output and group; DepthwiseConvolution must give both as the channel count.
    Blobs: weight [C, 1, kh, kw], bias [C].
    """

    bottom_count: ClassVar[tuple[int, int | None]] = (1, 1)
    top_count: ClassVar[tuple[int, int | None]] = (1, 1)

    def output_channels(self, bottom: Shape) -> int:
        return bottom[self.channel_axis(bottom)]

    def group_count(self, bottom: Shape) -> int:
        return bottom[self.channel_axis(bottom)]

    def _weight_channels(self, channels: int) -> Shape:
        return (channels, 1)

    def _groups(self, weight: np.ndarray) -> int:
        return int(weight.shape[0])

    def _check_channels(self, channels: int) -> None:
        if self.type != "DepthwiseConvolution":
            return
        for name in ("num_output", "group"):
            if self.param.HasField(name) and getattr(self.param, name) != channels:
                self.fail(f"{name} {getattr(self.param, name)} must be the channel count {channels}")

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm:
        layer = pb.LayerParameter()
        layer.CopyFrom(self.proto)
        layer.type = "Convolution"
        layer.convolution_param.num_output = self.output_channels(bottoms[0])
        layer.convolution_param.group = self.group_count(bottoms[0])
        return PlainForm([layer])
