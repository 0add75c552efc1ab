"""Squeeze-and-excitation networks: a block weighs its own channels (Hu, Shen and Sun, arXiv 1709.01507).

The SE unit pools a block's last blob to one value a channel, squeezes these 16-fold, expands them again and multiplies
each channel by the sigmoid. The authors' files (hujie-frank) do it with 1x1 convolutions ``_1x1_down`` and ``_1x1_up``
and one fork layer, ``Axpy``: gate * block + shortcut. Hikvision's SE-ResNet-50 (shicai) does it in BVLC's layers: two
InnerProducts ``fc2_1/sqz`` and ``fc2_1/exc``, a Scale over axis 0, an Eltwise.

SE-ResNets stride in the first 1x1 of a stage as MSRA does, SE-ResNeXts, SENet-154 and Hikvision's in the 3x3. SENet-154
(here ``senet``) is an SE-ResNeXt-152 64x4d with half the width before the 3x3, a stem of three 3x3 convolutions, 3x3
projections and a dropout. The published files average a fixed 7x7 map in the end, here it is global: 320 px work too.
SE-Inception stands in :mod:`.bn_inception`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from caffezoo.zoo.architectures.provenance import HUJIE, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

HUJIE_NAMES = ("{}/bn", "{}/bn/scale", "{}/relu")
REDUCTION = 16
GLOBAL_POOL_NOTE = "The published file averages a fixed 7x7 map at the end; global pooling is the same at 224."


@dataclass(frozen=True)
class SENet:
    """One of the authors' residual networks; ``width`` is that of stage 1's 3x3."""

    title: str
    depths: tuple[int, int, int, int]
    width: int = 64
    group: int = 1
    senet154: bool = False

    @property
    def strides_in_3x3(self) -> bool:
        return self.group > 1


NETWORKS = {
    "se-resnet50": SENet("SE-ResNet-50", (3, 4, 6, 3)),
    "se-resnet101": SENet("SE-ResNet-101", (3, 4, 23, 3)),
    "se-resnet152": SENet("SE-ResNet-152", (3, 8, 36, 3)),
    "se-resnext50-32x4d": SENet("SE-ResNeXt-50", (3, 4, 6, 3), width=128, group=32),
    "se-resnext101-32x4d": SENet("SE-ResNeXt-101", (3, 4, 23, 3), width=128, group=32),
    "senet": SENet("SENet-154", (3, 8, 36, 3), width=256, group=64, senet154=True),
}


def excitation(b: NetBuilder, block: str, x: str) -> str:
    """The SE unit up to its sigmoid: N,C,1,1 gates of an N,C,H,W blob."""
    channels = b.channels(x)
    y = b.global_pool(f"{block}_global_pool", x)
    y = b.conv(f"{block}_1x1_down", y, channels // REDUCTION, 1, bias=True)
    y = b.relu(f"{block}_1x1_down/relu", y)
    return b.sigmoid(f"{block}_prob", b.conv(f"{block}_1x1_up", y, channels, 1, bias=True))


def se_block(b: NetBuilder, net: SENet, block: str, x: str, stage: int, stride: int) -> str:
    """A bottleneck, its gate and the shortcut, joined by Axpy; ``stage`` counts from 0."""
    width, out = net.width * 2**stage, 256 * 2**stage
    stride_1x1, stride_3x3 = (1, stride) if net.strides_in_3x3 else (stride, 1)
    y = b.conv_norm(f"{block}_1x1_reduce", x, width // 2 if net.senet154 else width, 1, stride=stride_1x1)
    y = b.conv_norm(f"{block}_3x3", y, width, 3, stride=stride_3x3, pad=1, group=net.group)
    y = b.conv_norm(f"{block}_1x1_increase", y, out, 1, relu=False)
    gate = excitation(b, block, y)
    if stride > 1 or b.channels(x) != out:
        kernel = 3 if net.senet154 and stride > 1 else 1
        x = b.conv_norm(f"{block}_1x1_proj", x, out, kernel, stride=stride, pad=kernel // 2, relu=False)
    return b.relu(f"{block}/relu", b.layer("Axpy", block, [gate, y, x]))


def se_stem(b: NetBuilder, net: SENet, x: str) -> str:
    """One 7x7, or SENet-154's three 3x3, and a maximum that rounds up."""
    if net.senet154:
        x = b.conv_norm("conv1_1/3x3_s2", x, 64, 3, stride=2, pad=1, relu="conv1_1/relu_3x3_s2")
        x = b.conv_norm("conv1_2/3x3", x, 64, 3, pad=1, relu="conv1_2/relu_3x3")
        x = b.conv_norm("conv1_3/3x3", x, 128, 3, pad=1, relu="conv1_3/relu_3x3")
    else:
        x = b.conv_norm("conv1/7x7_s2", x, 64, 7, stride=2, pad=3, relu="conv1/relu_7x7_s2")
    return b.pool("pool1/3x3_s2", x, 3, stride=2)


def senet(name: str) -> NetBuilder:
    """Build one of :data:`NETWORKS`."""
    net = NETWORKS[name]
    header = provenance(f"{HUJIE}{net.title}.prototxt", "any from 32 up", GLOBAL_POOL_NOTE)
    b = NetBuilder(name, header, bn_names=HUJIE_NAMES)
    x = se_stem(b, net, b.input())
    for stage, depth in enumerate(net.depths):
        for i in range(depth):
            x = se_block(b, net, f"conv{stage + 2}_{i + 1}", x, stage, 2 if i == 0 and stage > 0 else 1)
    x = b.global_pool("pool5/7x7_s1", x)
    if net.senet154:
        x = b.dropout("pool5/dropout_7x7_s1", x, 0.2)
    b.softmax("prob", b.fc("classifier", x, 1000))
    return b


def hik_conv(b: NetBuilder, at: str, part: str, x: str, out: int, kernel: int, stride: int = 1) -> str:
    """``conv<at>/<part>`` and its BatchNorm; x1 and x2 have a ReLU, x3 and the projection none."""
    relu = False if part in ("x3", "prj") else f"relu{at}/{part}"
    return b.conv_norm(f"conv{at}/{part}", x, out, kernel, stride=stride, pad=kernel // 2, relu=relu)


def hik_block(b: NetBuilder, at: str, x: str, width: int, stride: int) -> str:
    """An SE bottleneck from BVLC's layers only; ``at`` is stage and block as in ``3_1``."""
    out = 4 * width
    shortcut = x
    if stride > 1 or b.channels(x) != out:
        shortcut = hik_conv(b, at, "prj", x, out, 1, stride)
    y = hik_conv(b, at, "x1", x, width, 1)
    y = hik_conv(b, at, "x2", y, width, 3, stride)
    y = hik_conv(b, at, "x3", y, out, 1)
    gate = b.fc(f"fc{at}/sqz", b.global_pool(f"pool{at}/gap", y), out // REDUCTION)
    gate = b.fc(f"fc{at}/exc", b.relu(f"relu{at}/sqz", gate), out)
    y = b.gate(f"scale{at}", y, b.sigmoid(f"sigm{at}/gate", gate))
    return b.relu(f"relu{at}", b.eltwise(f"block_{at}", [shortcut, y]))


def se_resnet50_hik() -> NetBuilder:
    """Hikvision's SE-ResNet-50."""
    header = provenance("shicai/SENet-Caffe se_resnet_50_v1_deploy.prototxt", "any from 32 up; published at 225")
    b = NetBuilder("se-resnet50-hik", header, bn_eps=1e-4, bn_names=("{}/bn", "{}/scale", "{}/relu"))
    x = b.conv_norm("conv1", b.input((1, 3, 225, 225)), 64, 7, stride=2, pad=3, relu="relu1")
    x = b.pool("pool1", x, 3, stride=2)
    for stage, depth in enumerate((3, 4, 6, 3)):
        for i in range(depth):
            x = hik_block(b, f"{stage + 2}_{i + 1}", x, 64 * 2**stage, 2 if i == 0 and stage > 0 else 1)
    b.softmax("prob", b.conv("fc6", b.global_pool("pool5", x), 1000, 1, bias=True))
    return b


for name in NETWORKS:
    architecture("senet", name, partial(senet, name))
architecture("senet", "se-resnet50-hik", se_resnet50_hik)
