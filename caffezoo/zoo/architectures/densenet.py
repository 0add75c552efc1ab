"""DenseNet: every layer reads the outputs of all layers before it in its block (Huang et al., arXiv 1608.06993).

A dense layer squeezes its input to four times the growth rate with a 1x1 convolution, makes ``growth`` new channels
with a 3x3 one and concatenates them to what it read. BatchNorm, Scale and ReLU stand before each convolution. Between
blocks a transition halves the channels (1x1) and the map (2x2 average). The number counts layers with weights.

Two namings of the same blobs are published. soeaver counts dense layers through (``dense42_conv1``) and calls
transitions ``conv2``..``conv4``; shicai counts inside a block (``conv4_24/x1``), calls transitions ``conv4_blk`` (in
201 after the layer that they follow: ``conv4_48/blk``) and stops at the logits, ``fc6``, without a softmax. Both
round ``pool1`` down.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder
from caffezoo.zoo.renaming import same_blobs

SIZES = "any from 32 up"
DEPTHS = {121: (6, 12, 24, 16), 161: (6, 12, 36, 24), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}


def dense_layer(b: NetBuilder, n: int, x: str, growth: int) -> str:
    y = b.conv_norm(f"dense{n}_conv1", b.preact(f"dense{n}", x), 4 * growth, 1)
    y = b.conv(f"dense{n}_conv2", y, growth, 3, pad=1)
    return b.concat(f"dense{n}_concat", [x, y])


def densenet(layers: int, growth: int = 32) -> NetBuilder:
    name = f"densenet{layers}"
    b = NetBuilder(name, provenance(f"{SOEAVER}densenet/deploy_{name}.prototxt", SIZES))
    x = b.conv_norm("conv1", b.input(), 2 * growth, 7, stride=2, pad=3)
    x = b.pool("pool1", x, 3, stride=2, pad=1, floor=True)
    n = 0
    for block, depth in enumerate(DEPTHS[layers], start=2):
        if block > 2:
            x = b.conv(f"conv{block - 1}", x, b.channels(x) // 2, 1)
            x = b.pool(f"pool{block - 1}", x, 2, stride=2, method="AVE")
        for _ in range(depth):
            n += 1
            x = dense_layer(b, n, x, growth)
        x = b.norm(x, x)
    x = b.conv("classifier", b.global_pool("pool5", x), 1000, 1, bias=True)
    b.softmax("prob", b.reshape("classifier_reshape", x, (0, 0)))
    return b


def shicai_norm(b: NetBuilder, name: str, x: str) -> str:
    """BatchNorm, Scale and ReLU named after a convolution, on a blob of their own; the ReLU drops the word ``conv``."""
    return b.norm(name, x, relu=name.replace("conv", "relu", 1), top=f"{name}/bn")


def shicai_dense_layer(b: NetBuilder, place: str, x: str, growth: int) -> str:
    y = b.conv(f"conv{place}/x1", shicai_norm(b, f"conv{place}/x1", x), 4 * growth, 1)
    y = b.conv(f"conv{place}/x2", shicai_norm(b, f"conv{place}/x2", y), growth, 3, pad=1)
    return b.concat(f"concat_{place}", [x, y])


def shicai_densenet(layers: int, growth: int) -> NetBuilder:
    header = provenance(f"shicai/DenseNet-Caffe DenseNet_{layers}.prototxt", SIZES, "Output: logits, no softmax")
    b = NetBuilder(f"DENSENET_{layers}", header, bn_names=("{}/bn", "{}/scale", "{}/relu"))
    x = shicai_norm(b, "conv1", b.conv("conv1", b.input(), 2 * growth, 7, stride=2, pad=3))
    x = b.pool("pool1", x, 3, stride=2, pad=1, floor=True)
    for block, depth in enumerate(DEPTHS[layers], start=2):
        for i in range(1, depth + 1):
            x = shicai_dense_layer(b, f"{block}_{i}", x, growth)
        transition = f"{block}_{depth}/blk" if layers == 201 else f"{block}_blk"
        x = shicai_norm(b, f"conv{transition}", x)
        if block < 5:
            x = b.conv(f"conv{transition}", x, b.channels(x) // 2, 1)
            x = b.pool(f"pool{block}", x, 2, stride=2, method="AVE")
    b.conv("fc6", b.global_pool("pool5", x), 1000, 1, bias=True)
    return b


for layers in (121, 201):
    architecture("densenet", f"densenet{layers}", partial(densenet, layers))
    same_blobs(f"densenet{layers}", f"densenet{layers}-shicai")
for layers in DEPTHS:
    build = partial(shicai_densenet, layers, 48 if layers == 161 else 32)
    architecture("densenet", f"densenet{layers}-shicai", build)
