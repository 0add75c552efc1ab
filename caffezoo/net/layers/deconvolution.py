"""Deconvolution: the transpose of a convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.net.layer import Affine, Folded, Shape, register
from caffezoo.net.layers.convolution import ConvolutionBase, Window

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Deconvolution")
class Deconvolution(ConvolutionBase):
    """Transpose of a convolution: an axis of H pixels gives ``s (H - 1) + d (k - 1) + 1 - 2 p``.

    Blobs: weight [in, num_output / group, k...], bias [num_output].
    """

    def _output_size(self, spatial: Shape, window: Window) -> Shape:
        if window.behind and window.behind != window.pad:
            self.fail("pads that differ from side to side are not supported")
        sizes = []
        for size, extent, stride, pad in zip(spatial, window.extent, window.stride, window.pad, strict=True):
            sizes.append(stride * (size - 1) + extent - 2 * pad)
            if sizes[-1] <= 0:
                self.fail(f"pad {pad} leaves nothing of an output of {sizes[-1] + 2 * pad} px")
        return tuple(sizes)

    def _weight_channels(self, channels: int) -> Shape:
        return (channels, int(self.param.num_output) // int(self.param.group))

    def _outputs(self, blobs: Sequence[np.ndarray]) -> int:
        return int(self.param.num_output)

    def _by_output(self, weight: np.ndarray) -> np.ndarray:
        grouped = weight.reshape(self._groups(weight), -1, *weight.shape[1:])
        return grouped.swapaxes(1, 2)

    def _from_output(self, weight: np.ndarray, shape: Shape) -> np.ndarray:
        return weight.swapaxes(1, 2).reshape(shape)

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        # Near the border fewer kernel taps meet the image, so a shift of the bottom is not one of the top.
        if self.param.axis != 1 or len(self.proto.bottom) != 1 or map_.b.any() or map_.a.size != blobs[0].shape[0]:
            return None
        weight = blobs[0] * map_.a.reshape(-1, *(1 for _ in blobs[0].shape[1:]))
        bias = np.asarray(blobs[1], np.float64) if self.param.bias_term else np.zeros(self._outputs(blobs))
        return self._folded(weight, bias, blobs[0].dtype)

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Return input elements x (output channels of a group x kernel area); the bias is not counted."""
        weight = self.blob_shapes(bottoms)[0]
        return sum(math.prod(bottom) for bottom in bottoms) * math.prod(weight[1:])

    def onnx(self, scope: LayerScope) -> list[str]:
        return self._onnx(scope, "ConvTranspose", int(self.param.group))

    def torch(self, scope: TorchScope) -> Compute:
        return self._torch(scope, "conv_transpose", int(self.param.group))
