"""Keras' InceptionV3 and InceptionResNetV2 (arXiv 1512.00567, 1602.07261).

Modules put convolutions of several reaches side by side: 1x1, 5x5 or two 3x3, 7x7 taken apart into 1x7 and 7x1, and a
3x3 average. InceptionV3 concatenates the branches; InceptionResNetV2 projects them with a 1x1 convolution, scales the
result and adds it to the module's input.

BatchNormalization has no gamma (``scale=False``), so a Bias alone follows each BatchNorm. Layers have Keras'
automatic names, ``conv2d_1`` with ``batch_normalization_1`` and so on in the order of creation, which the order of
the calls below therefore keeps. Every strided layer is 'valid' and every padded one has stride 1: exact at every
input size.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.keras_registry import keras_architecture
from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.builder import IntOrPair
from caffezoo.zoo.keras_builder import KerasBuilder

APPLICATIONS = "keras-team/keras-applications keras_applications/"
SIZES = "any from 75 up"
Step = tuple[int, IntOrPair]  # output channels, kernel


def conv_bn(b: KerasBuilder, x: str, width: int, kernel: IntOrPair, *, strides: int = 1, padding: str = "same") -> str:
    """Conv2D, BatchNormalization without gamma, ReLU, under automatic names."""
    x = b.conv2d(b.numbered("conv2d"), x, width, kernel, strides=strides, padding=padding)
    return b.relu(b.numbered("activation"), b.bn(b.numbered("batch_normalization"), x, gamma=False))


def chain(b: KerasBuilder, x: str, *steps: Step) -> str:
    """Convolutions one behind the other, 'same' and stride 1."""
    for width, kernel in steps:
        x = conv_bn(b, x, width, kernel)
    return x


def halving(b: KerasBuilder, x: str, width: int) -> str:
    return conv_bn(b, x, width, 3, strides=2, padding="valid")


def pooled(b: KerasBuilder, x: str, width: int) -> str:
    """Branch of a 3x3 average and a 1x1 convolution."""
    return conv_bn(b, b.average_pool(b.numbered("average_pooling2d"), x, 3, padding="same"), width, 1)


def max_pool(b: KerasBuilder, x: str) -> str:
    return b.max_pool(b.numbered("max_pooling2d"), x, 3)


def stem(b: KerasBuilder) -> str:
    """Both networks' first layers: 299 px become 35, 192 channels."""
    x = conv_bn(b, b.image, 32, 3, strides=2, padding="valid")
    x = max_pool(b, chain(b, conv_bn(b, x, 32, 3, padding="valid"), (64, 3)))
    x = conv_bn(b, conv_bn(b, x, 80, 1, padding="valid"), 192, 3, padding="valid")
    return max_pool(b, x)


def mixed_35(b: KerasBuilder, name: str, x: str, pool_width: int) -> str:
    branches = [chain(b, x, (64, 1)), chain(b, x, (48, 1), (64, 5)), chain(b, x, (64, 1), (96, 3), (96, 3))]
    return b.concat(name, [*branches, pooled(b, x, pool_width)])


def mixed_17(b: KerasBuilder, name: str, x: str, width: int) -> str:
    """7x7 as 1x7 and 7x1, once and twice, through ``width`` channels."""
    branches = [
        chain(b, x, (192, 1)),
        chain(b, x, (width, 1), (width, (1, 7)), (192, (7, 1))),
        chain(b, x, (width, 1), (width, (7, 1)), (width, (1, 7)), (width, (7, 1)), (192, (1, 7))),
    ]
    return b.concat(name, [*branches, pooled(b, x, 192)])


def forked(b: KerasBuilder, x: str) -> list[str]:
    """A 3x3 taken apart side by side: 1x3 and 3x1 on the same input."""
    return [conv_bn(b, x, 384, (1, 3)), conv_bn(b, x, 384, (3, 1))]


def mixed_8(b: KerasBuilder, i: int, x: str) -> str:
    branches = [chain(b, x, (320, 1))]
    branches.append(b.concat(f"mixed9_{i}", forked(b, chain(b, x, (384, 1)))))
    branches.append(b.concat(b.numbered("concatenate"), forked(b, chain(b, x, (448, 1), (384, 3)))))
    return b.concat(f"mixed{9 + i}", [*branches, pooled(b, x, 192)])


def inception_v3_features(b: KerasBuilder) -> str:
    """Append all of InceptionV3 below its classifier: 94 convolutions, and the average of the last map."""
    x = stem(b)
    for i, pool_width in enumerate((32, 64, 64)):
        x = mixed_35(b, f"mixed{i}", x, pool_width)
    branches = [halving(b, x, 384), halving(b, chain(b, x, (64, 1), (96, 3)), 96)]
    x = b.concat("mixed3", [*branches, max_pool(b, x)])
    for i, width in enumerate((128, 160, 160, 192), start=4):
        x = mixed_17(b, f"mixed{i}", x, width)
    branches = [halving(b, chain(b, x, (192, 1)), 320)]
    branches.append(halving(b, chain(b, x, (192, 1), (192, (1, 7)), (192, (7, 1))), 192))
    x = b.concat("mixed8", [*branches, max_pool(b, x)])
    for i in (0, 1):
        x = mixed_8(b, i, x)
    return b.global_pool("avg_pool", x)


def inception_v3(size_px: int = 299) -> KerasBuilder:
    b = KerasBuilder("keras-inception-v3", provenance(f"{APPLICATIONS}inception_v3.py", SIZES), size_px)
    b.softmax("prob", b.fc("predictions", inception_v3_features(b), 1000))
    return b


RESIDUAL_BRANCHES: dict[str, tuple[tuple[Step, ...], ...]] = {
    "block35": (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
    "block17": (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
    "block8": (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
}


def residual_block(b: KerasBuilder, kind: str, i: int, x: str, scale: float, *, relu: bool = True) -> str:
    """Branches, concatenated, projected to the input's width (with bias, no BatchNormalization), scaled and added."""
    name = f"{kind}_{i}"
    mixed = b.concat(f"{name}_mixed", [chain(b, x, *steps) for steps in RESIDUAL_BRANCHES[kind]])
    up = b.conv2d(f"{name}_conv", mixed, b.channels(x), 1, bias=True)
    x = b.eltwise(name, [x, up], coeff=() if scale == 1.0 else (1.0, scale))
    return b.relu(f"{name}_ac", x) if relu else x


def inception_resnet_v2(size_px: int = 299) -> KerasBuilder:
    header = provenance(f"{APPLICATIONS}inception_resnet_v2.py", SIZES)
    b = KerasBuilder("keras-inception-resnet-v2", header, size_px)
    x = stem(b)
    branches = [chain(b, x, (96, 1)), chain(b, x, (48, 1), (64, 5)), chain(b, x, (64, 1), (96, 3), (96, 3))]
    x = b.concat("mixed_5b", [*branches, pooled(b, x, 64)])
    for i in range(1, 11):
        x = residual_block(b, "block35", i, x, 0.17)
    branches = [halving(b, x, 384), halving(b, chain(b, x, (256, 1), (256, 3)), 384)]
    x = b.concat("mixed_6a", [*branches, max_pool(b, x)])
    for i in range(1, 21):
        x = residual_block(b, "block17", i, x, 0.1)
    branches = [halving(b, chain(b, x, (256, 1)), 384), halving(b, chain(b, x, (256, 1)), 288)]
    branches.append(halving(b, chain(b, x, (256, 1), (288, 3)), 320))
    x = b.concat("mixed_7a", [*branches, max_pool(b, x)])
    for i in range(1, 10):
        x = residual_block(b, "block8", i, x, 0.2)
    x = residual_block(b, "block8", 10, x, 1.0, relu=False)
    x = b.relu("conv_7b_ac", b.bn("conv_7b_bn", b.conv2d("conv_7b", x, 1536, 1), gamma=False))
    b.softmax("prob", b.fc("predictions", b.global_pool("avg_pool", x), 1000))
    return b


keras_architecture("keras-inception-v3", inception_v3)
keras_architecture("keras-inception-resnet-v2", inception_resnet_v2)
