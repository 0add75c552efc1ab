"""Keras' ResNets: ResNet 50/101/152 in two namings, ResNetV2 50/101/152 and ResNeXt 50/101 (arXiv 1512.03385, ...).

Four generators, in the order of the papers:

* ``keras-resnet50-v0.2``: the first release, MSRA's weights under MSRA's names (``res2a_branch2a``,
  ``bn2a_branch2a``). Every convolution has a bias; epsilon is 1e-3. ``pool1`` has no padding and rounds down: 55x55
  at 224 px, 56x56 in Caffe. Later releases of Keras padded it by one pixel and kept the weights; this is the release
  that published them.
* ``keras-resnet*``: keras-applications; the same weights again for 50, 101 and 152, all convolutions with bias.
* ``keras-resnet*v2``: pre-activation (arXiv 1603.05027). Strides stand in the last block of a stage, where the
  shortcut is a subsampling. A bias only where no BatchNormalization follows. Keras pads ``pool1`` with zeros, and no
  ReLU stands in front: a maximum at the border is at least zero, which Caffe's padding does not know. See
  :func:`zero_border`.
* ``keras-resnext*``: groups of 32 (arXiv 1611.05431). Keras' file has a depthwise kernel with a multiplier and a
  fixed sum behind it; here it is what that computes, a grouped convolution.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.keras_registry import keras_architecture
from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.resnet import BOTTLENECK_DEPTHS
from caffezoo.zoo.builder import NetBuilder
from caffezoo.zoo.keras_builder import KerasBuilder

SOURCE = "keras-team/keras-applications keras_applications/resnet_common.py"
ANY = "any from 32 up"
EPS = 1.001e-5
V2_STRIDES = (2, 2, 2, 1)
RENAMED = {"probs": "predictions"}


def old_conv_bn(b: KerasBuilder, place: str, x: str, width: int, kernel: int, strides: int = 1) -> str:
    x = b.conv2d(f"res{place}", x, width, kernel, strides=strides, padding="same" if kernel > 1 else "valid", bias=True)
    return b.bn(f"bn{place}", x)


def old_resnet50(size_px: int = 224) -> KerasBuilder:
    header = provenance("fchollet/deep-learning-models resnet50.py, release v0.2", ANY)
    b = KerasBuilder("keras-resnet50-v0.2", header, size_px, mode="caffe")
    x = b.relu("conv1_relu", b.bn("bn_conv1", b.conv2d("conv1", b.image, 64, 7, strides=2, padding=3, bias=True)))
    x = b.max_pool("pool1", x, 3)
    for stage, depth in enumerate(BOTTLENECK_DEPTHS[50], start=2):
        width = 64 * 2 ** (stage - 2)
        for i, letter in enumerate("abcdef"[:depth]):
            block, strides = f"{stage}{letter}", 2 if stage > 2 and i == 0 else 1
            y = b.relu(f"res{block}_branch2a_relu", old_conv_bn(b, f"{block}_branch2a", x, width, 1, strides))
            y = b.relu(f"res{block}_branch2b_relu", old_conv_bn(b, f"{block}_branch2b", y, width, 3))
            y = old_conv_bn(b, f"{block}_branch2c", y, 4 * width, 1)
            if i == 0:
                x = old_conv_bn(b, f"{block}_branch1", x, 4 * width, 1, strides)
            x = b.relu(f"res{block}_relu", b.eltwise(f"res{block}", [y, x]))
    b.softmax("prob", b.fc("fc1000", b.global_pool("avg_pool", x), 1000))
    return b


def block(
    b: KerasBuilder, name: str, x: str, width: int, *, strides: int, project: bool, groups: int, bias: bool
) -> str:
    """Bottleneck of ResNet (stride in the first 1x1, four times wider at its end) or of ResNeXt (in the 3x3, twice)."""
    plain = groups == 1
    out = 4 * width if plain else 2 * width
    shortcut = x
    if project:
        shortcut = b.bn(f"{name}_0_bn", b.conv2d(f"{name}_0_conv", x, out, 1, strides=strides, bias=bias))
    y = b.conv2d(f"{name}_1_conv", x, width, 1, strides=strides if plain else 1, bias=bias)
    y = b.relu(f"{name}_1_relu", b.bn(f"{name}_1_bn", y))
    y = b.conv2d(f"{name}_2_conv", y, width, 3, strides=1 if plain else strides, padding=1, groups=groups, bias=bias)
    y = b.relu(f"{name}_2_relu", b.bn(f"{name}_2_bn", y))
    y = b.bn(f"{name}_3_bn", b.conv2d(f"{name}_3_conv", y, out, 1, bias=bias))
    return b.relu(f"{name}_out", b.eltwise(f"{name}_add", [shortcut, y]))


def resnet(name: str, depths: tuple[int, ...], width: int, groups: int = 1, size_px: int = 224) -> KerasBuilder:
    """ResNet (width 64, bias) or, with groups, ResNeXt (width 128, no bias)."""
    bias = groups == 1
    mode = "caffe" if groups == 1 else "torch"
    b = KerasBuilder(name, provenance(SOURCE, ANY), size_px, bn_eps=EPS, mode=mode)
    x = b.conv2d("conv1_conv", b.image, 64, 7, strides=2, padding=3, bias=bias)
    # Behind a ReLU Keras' zero padding and Caffe's padding of a maximum are the same.
    x = b.max_pool("pool1_pool", b.relu("conv1_relu", b.bn("conv1_bn", x)), 3, padding=1)
    for stage, depth in enumerate(depths, start=2):
        for i in range(1, depth + 1):
            strides = 2 if stage > 2 and i == 1 else 1
            place, wide = f"conv{stage}_block{i}", width * 2 ** (stage - 2)
            x = block(b, place, x, wide, strides=strides, project=i == 1, groups=groups, bias=bias)
    b.softmax("prob", b.fc("probs", b.global_pool("avg_pool", x), 1000))
    return b


def zero_border(b: NetBuilder, name: str, x: str) -> str:
    """Rectify a map's first row and column: there a pixel of zeros took part in the maximum.

    At 224 px the last row and column need nothing: no window reaches the padding behind an even map.
    """
    for axis, line in ((2, "row"), (3, "column")):
        first, rest = f"{name}_first_{line}", f"{name}_other_{line}s"
        b.layer("Slice", f"{name}_{line}_slice", x, [first, rest], slice_param={"axis": axis, "slice_point": [1]})
        b.relu(f"{first}_relu", first)
        x = b.layer("Concat", f"{name}_{line}_concat", [first, rest], concat_param={"axis": axis})
    return x


def block_v2(b: KerasBuilder, name: str, x: str, width: int, *, strides: int, project: bool) -> str:
    """Pre-activation bottleneck; only the projected shortcut reads the activated input."""
    active = b.relu(f"{name}_preact_relu", b.bn(f"{name}_preact_bn", x, top=f"{name}_preact_bn"))
    shortcut = x
    if project:
        shortcut = b.conv2d(f"{name}_0_conv", active, 4 * width, 1, strides=strides, bias=True)
    elif strides > 1:
        shortcut = b.max_pool(f"{name}_0_pool", x, 1, strides=strides)
    y = b.relu(f"{name}_1_relu", b.bn(f"{name}_1_bn", b.conv2d(f"{name}_1_conv", active, width, 1)))
    y = b.conv2d(f"{name}_2_conv", y, width, 3, strides=strides, padding=1)
    y = b.conv2d(f"{name}_3_conv", b.relu(f"{name}_2_relu", b.bn(f"{name}_2_bn", y)), 4 * width, 1, bias=True)
    return b.eltwise(f"{name}_out", [shortcut, y])


def resnet_v2(name: str, depths: tuple[int, ...], size_px: int = 224) -> KerasBuilder:
    b = KerasBuilder(name, provenance(SOURCE, "multiples of 4, or one less, from 32 up"), size_px, bn_eps=EPS)
    x = b.conv2d("conv1_conv", b.image, 64, 7, strides=2, padding=3, bias=True)
    x = zero_border(b, "pool1", b.max_pool("pool1_pool", x, 3, padding=1))
    for stage, (depth, stage_strides) in enumerate(zip(depths, V2_STRIDES, strict=True), start=2):
        for i in range(1, depth + 1):
            strides = stage_strides if i == depth else 1
            place = f"conv{stage}_block{i}"
            x = block_v2(b, place, x, 64 * 2 ** (stage - 2), strides=strides, project=i == 1)
    x = b.relu("post_relu", b.bn("post_bn", x))
    b.softmax("prob", b.fc("probs", b.global_pool("avg_pool", x), 1000))
    return b


keras_architecture("keras-resnet50-v0.2", old_resnet50, by_order=False)
for layers, depths in BOTTLENECK_DEPTHS.items():
    name = f"keras-resnet{layers}"
    keras_architecture(name, partial(resnet, name, depths, 64), renamed=RENAMED)
    name = f"keras-resnet{layers}v2"
    keras_architecture(name, partial(resnet_v2, name, depths), renamed=RENAMED)
for layers in (50, 101):
    name = f"keras-resnext{layers}"
    build = partial(resnet, name, BOTTLENECK_DEPTHS[layers], 128, 32)
    keras_architecture(name, build, unused=("*_2_gconv/kernel",))
