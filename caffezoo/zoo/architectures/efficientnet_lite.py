"""EfficientNet-Lite 0, 1 and 2: inverted residuals without squeeze-and-excitation, ReLU6 throughout.

Facts: the stages below and the coefficients stand in ``efficientnet/lite/efficientnet_lite_builder.py`` of the
tensorflow/tpu repository; the tensors' names and shapes are those of the published torch state dicts.

TensorFlow pads 'same': with stride 2 an even size gets one pixel more behind than before, an odd size the same on
both sides. Caffe pads both sides alike, so that a stride-2 convolution on an even size has a kernel that is one
larger, whose first row and column are zero (``zero_extended``). Which form a layer has follows from the published
input size:

======  =====  ====================================  =============
net     input  sizes that stride 2 halves            of them odd
======  =====  ====================================  =============
lite0   224    224, 112, 56, 28, 14                  none
lite1   240    240, 120, 60, 30, 15                  15
lite2   260    260, 130, 65, 33, 17                  65, 33, 17
======  =====  ====================================  =============

At its published size (and at others with the same parities, such as 224 + 32 n for lite0) the network equals the
original exactly; at any other size the windows of some layers are shifted by one pixel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder
from caffezoo.zoo.tensor_map import BlobSource, TensorMap, batch_norm_and_scale, rgb_to_bgr, tensor_map, zero_extended

BN_EPS = 1e-3
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
CLASSES = 1000
WIDTH_DIVISOR = 8

# repeats, kernel, stride, expansion, channels out
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class Variant:
    """One size of the family: multipliers of width and depth, input side in px, dropout at the end."""

    width: float
    depth: float
    input_px: int
    dropout: float


VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224, 0.2),
    "efficientnet-lite1": Variant(1.0, 1.1, 240, 0.2),
    "efficientnet-lite2": Variant(1.1, 1.2, 260, 0.3),
}


@dataclass(frozen=True)
class Block:
    """One inverted residual, ``size_px`` the side of its input."""

    name: str
    kernel: int
    stride: int
    channels_in: int
    channels_mid: int
    channels_out: int
    size_px: int

    @property
    def expands(self) -> bool:
        return self.channels_mid != self.channels_in

    @property
    def adds(self) -> bool:
        return self.stride == 1 and self.channels_in == self.channels_out


def scaled_channels(channels: int, width: float) -> int:
    """Scale a channel count to a multiple of 8, never more than 10 % below the exact product."""
    exact = channels * width
    rounded = max(WIDTH_DIVISOR, int(exact + WIDTH_DIVISOR / 2) // WIDTH_DIVISOR * WIDTH_DIVISOR)
    return rounded + WIDTH_DIVISOR if rounded < 0.9 * exact else rounded


def blocks(variant: Variant) -> Iterator[Block]:
    """Yield the blocks in order; the first and the last stage keep their repeats."""
    channels, size = STEM_CHANNELS, math.ceil(variant.input_px / 2)
    for stage, (repeats, kernel, stride, expansion, out) in enumerate(STAGES):
        if stage not in (0, len(STAGES) - 1):
            repeats = math.ceil(variant.depth * repeats)
        for i in range(repeats):
            step = stride if i == 0 else 1
            wide = scaled_channels(out, variant.width)
            yield Block(f"block{stage + 1}_{i}", kernel, step, channels, channels * expansion, wide, size)
            channels, size = wide, math.ceil(size / step)


def _is_extended(stride: int, size_px: int) -> bool:
    return stride == 2 and size_px % 2 == 0


def build(name: str) -> NetBuilder:
    """Build the deploy network of a variant."""
    variant = VARIANTS[name]
    header = provenance(
        "tensorflow/tpu efficientnet/lite/efficientnet_lite_builder.py",
        f"{variant.input_px}",
        "Even kernels: TensorFlow's 'same' padding made exact at that size by a first row and column of zeros.",
    )
    net = NetBuilder(name, header)

    def normalise(layer: str, bottom: str, *, clip: bool = True) -> str:
        top = net.bn_scale(f"{layer}_bn", f"{layer}_scale", bottom, eps=BN_EPS)
        return net.clip(f"{layer}_relu6", top, 0, 6) if clip else top

    def conv_same(layer: str, bottom: str, channels: int, kernel: int, stride: int, size_px: int, group: int) -> str:
        extended = kernel + 1 if _is_extended(stride, size_px) else kernel
        return net.conv(layer, bottom, channels, extended, stride=stride, pad=kernel // 2, group=group)

    x = net.input((1, 3, variant.input_px, variant.input_px))
    x = normalise("stem_conv", conv_same("stem_conv", x, STEM_CHANNELS, 3, 2, variant.input_px, 1))
    for block in blocks(variant):
        shortcut = x
        if block.expands:
            x = normalise(f"{block.name}_expand", net.conv(f"{block.name}_expand", x, block.channels_mid, 1))
        mid = block.channels_mid
        x = conv_same(f"{block.name}_dw", x, mid, block.kernel, block.stride, block.size_px, mid)
        x = normalise(f"{block.name}_dw", x)
        x = net.conv(f"{block.name}_project", x, block.channels_out, 1)
        x = normalise(f"{block.name}_project", x, clip=False)
        if block.adds:
            x = net.eltwise(f"{block.name}_add", [shortcut, x])
    x = normalise("head_conv", net.conv("head_conv", x, HEAD_CHANNELS, 1))
    x = net.global_pool("pool", x)
    x = net.dropout("dropout", x, variant.dropout)
    net.softmax("prob", net.fc("fc", x, CLASSES))
    return net


def torch_map(name: str) -> TensorMap:
    """Map the published torch state dict of a variant (RGB) to :func:`build`'s layers (BGR)."""
    variant = VARIANTS[name]
    layers: dict[str, tuple[BlobSource, ...]] = {}

    def add(layer: str, conv: str, norm: str, *, stride: int = 1, size_px: int = 1) -> None:
        extend = (zero_extended,) if _is_extended(stride, size_px) else ()
        first = (rgb_to_bgr,) if layer == "stem_conv" else ()
        layers[layer] = (BlobSource(f"{conv}.weight", first + extend),)
        tensors = (f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var")
        layers[f"{layer}_bn"], layers[f"{layer}_scale"] = batch_norm_and_scale(*tensors)

    add("stem_conv", "_conv_stem", "_bn0", stride=2, size_px=variant.input_px)
    for i, block in enumerate(blocks(variant)):
        torch = f"_blocks.{i}"
        if block.expands:
            add(f"{block.name}_expand", f"{torch}._expand_conv", f"{torch}._bn0")
        depthwise = f"{torch}._depthwise_conv"
        add(f"{block.name}_dw", depthwise, f"{torch}._bn1", stride=block.stride, size_px=block.size_px)
        add(f"{block.name}_project", f"{torch}._project_conv", f"{torch}._bn2")
    add("head_conv", "_conv_head", "_bn1")
    layers["fc"] = (BlobSource("_fc.weight"), BlobSource("_fc.bias"))
    return TensorMap(layers, unused=("*.num_batches_tracked",))


for _name in VARIANTS:
    architecture("efficientnet-lite", _name, functools.partial(build, _name))
    tensor_map(_name, "torch", functools.partial(torch_map, _name))
