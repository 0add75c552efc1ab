"""MobileNet v1 and v2: depthwise 3x3 convolutions between pointwise 1x1 ones (arXiv 1704.04861, 1801.04381).

v1 stacks depthwise-separable convolutions. v2 stacks inverted residuals: a 1x1 convolution expands six times, a
depthwise 3x3 filters, a 1x1 projects back without a ReLU, and the narrow ends are added.

Both keep the layer names of shicai's caffemodels (``conv5_6/dw``, ``conv4_3/expand``). ReLUs are plain, not ReLU6.
His v2 keeps the 64-channel blocks at 28x28 and strides one block later than the paper: 429 million MACs where the
paper has 300. The published tables mean TF-slim's training by ``mobilenet-v1-1.0``, for which nobody published a
Caffe network; shicai's weights are another training. TF-slim's own arithmetic (ReLU6, epsilon 1e-3, padding behind an
even map) is that of ``keras-mobilenet-1.0``.
"""

from __future__ import annotations

from typing import Any

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

SHICAI = "shicai/MobileNet-Caffe "
SIZES = "any from 32 up"
# Output channels of the blocks; the last of each stage strides.
V1_STAGES = ((64, 128), (128, 256), (256, 512), (512, 512, 512, 512, 512, 1024))
# (name of the stage, output channels and stride of each block)
V2_STAGES = (
    (2, ((16, 1), (24, 2))),
    (3, ((24, 1), (32, 2))),
    (4, ((32, 1), (32, 1), (64, 1), (64, 1), (64, 1), (64, 1), (96, 2))),
    (5, ((96, 1), (96, 1), (160, 2))),
    (6, ((160, 1), (160, 1), (320, 1))),
)


def separable(b: NetBuilder, place: str, x: str, out: int, stride: int) -> str:
    """Depthwise 3x3, then pointwise 1x1, each with BatchNorm, Scale and ReLU."""
    width = b.channels(x)
    x = b.conv_norm(f"conv{place}/dw", x, width, 3, stride=stride, pad=1, group=width, relu=f"relu{place}/dw")
    return b.conv_norm(f"conv{place}/sep", x, out, 1, relu=f"relu{place}/sep")


def mobilenet_v1() -> NetBuilder:
    header = provenance(f"{SHICAI}mobilenet_deploy.prototxt", SIZES)
    b = NetBuilder("mobilenet-v1-1.0", header, bn_names=("{}/bn", "{}/scale", "{}/relu"))
    x = b.conv_norm("conv1", b.input(), 32, 3, stride=2, pad=1, relu="relu1")
    for stage, widths in enumerate(V1_STAGES, start=2):
        for i, width in enumerate(widths, start=1):
            x = separable(b, f"{stage}_{i}", x, width, 2 if i == len(widths) else 1)
    x = separable(b, "6", x, 1024, 1)
    b.softmax("prob", b.conv("fc7", b.global_pool("pool6", x), 1000, 1, bias=True))
    return b


def conv_bn(b: NetBuilder, name: str, x: str, out: int, kernel: int, *, relu: bool = True, **options: Any) -> str:
    """Convolution, then BatchNorm and Scale on a blob of their own, then a ReLU named ``relu...`` for ``conv...``."""
    x = b.conv(name, x, out, kernel, **options)
    return b.norm(name, x, relu=relu and name.replace("conv", "relu", 1), top=f"{name}/bn")


def inverted_residual(b: NetBuilder, place: str, x: str, out: int, stride: int) -> str:
    """Expand, filter, project; added to the input where the shapes allow it."""
    wide = b.channels(x) * (1 if place == "2_1" else 6)
    y = conv_bn(b, f"conv{place}/expand", x, wide, 1)
    y = conv_bn(b, f"conv{place}/dwise", y, wide, 3, stride=stride, pad=1, group=wide)
    y = conv_bn(b, f"conv{place}/linear", y, out, 1, relu=False)
    return b.eltwise(f"block_{place}", [x, y]) if stride == 1 and b.channels(x) == out else y


def mobilenet_v2() -> NetBuilder:
    header = provenance(f"{SHICAI}mobilenet_v2_deploy.prototxt", SIZES)
    b = NetBuilder("mobilenet-v2", header, bn_names=("{}/bn", "{}/scale", "{}/relu"))
    x = conv_bn(b, "conv1", b.input(), 32, 3, stride=2, pad=1)
    for stage, blocks in V2_STAGES:
        for i, (out, stride) in enumerate(blocks, start=1):
            x = inverted_residual(b, f"{stage}_{i}", x, out, stride)
    x = conv_bn(b, "conv6_4", x, 1280, 1)
    b.softmax("prob", b.conv("fc7", b.global_pool("pool6", x), 1000, 1, bias=True))
    return b


architecture("mobilenet", "mobilenet-v1-1.0", mobilenet_v1)
architecture("mobilenet", "mobilenet-v2", mobilenet_v2)
