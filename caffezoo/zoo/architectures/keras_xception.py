"""Keras' Xception (Chollet, arXiv 1610.02357): separable convolutions throughout, residuals around pairs or triples.

The entry flow halves the map three times: two separable convolutions and a maximum, added to a strided 1x1
convolution. The middle flow repeats eight blocks of three. The exit flow halves once more and widens to 2048. Block 2
has no ReLU in front. BatchNormalization follows each separable convolution (its depthwise part has none) and each
strided shortcut; the shortcuts' layers carry Keras' automatic names, ``conv2d_1`` to ``conv2d_4``.

soeaver's ``xception`` has the same weights under other names.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.keras_registry import keras_architecture
from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.keras_builder import KerasBuilder

SIZES = "299, 331, 363, 395: multiples of 32 plus 11 or 12 (elsewhere 'same' pads otherwise)"


def separable_bn(b: KerasBuilder, name: str, x: str, filters: int) -> str:
    return b.bn(f"{name}_bn", b.separable(name, x, filters, 3))


def halving_block(b: KerasBuilder, block: int, x: str, widths: tuple[int, int], *, relu_first: bool = True) -> str:
    """Two separable convolutions and a maximum of stride 2, beside a strided 1x1 convolution."""
    shortcut = b.conv2d(b.numbered("conv2d"), x, widths[1], 1, strides=2, padding="same")
    shortcut = b.bn(b.numbered("batch_normalization"), shortcut)
    y = separable_bn(b, f"block{block}_sepconv1", b.rectified(x) if relu_first else x, widths[0])
    y = separable_bn(b, f"block{block}_sepconv2", b.relu(f"block{block}_sepconv2_act", y), widths[1])
    y = b.max_pool(f"block{block}_pool", y, 3, padding="same")
    return b.eltwise(b.numbered("add"), [y, shortcut])


def middle_block(b: KerasBuilder, block: int, x: str) -> str:
    y = b.rectified(x)
    for i in (1, 2, 3):
        if i > 1:
            y = b.relu(f"block{block}_sepconv{i}_act", y)
        y = separable_bn(b, f"block{block}_sepconv{i}", y, 728)
    return b.eltwise(b.numbered("add"), [y, x])


def xception(size_px: int = 299) -> KerasBuilder:
    header = provenance("keras-team/keras-applications keras_applications/xception.py", SIZES)
    b = KerasBuilder("keras-xception", header, size_px)
    x = b.image
    for i, width, strides in ((1, 32, 2), (2, 64, 1)):
        x = b.bn(f"block1_conv{i}_bn", b.conv2d(f"block1_conv{i}", x, width, 3, strides=strides))
        x = b.relu(f"block1_conv{i}_act", x)
    x = halving_block(b, 2, x, (128, 128), relu_first=False)
    x = halving_block(b, 3, x, (256, 256))
    x = halving_block(b, 4, x, (728, 728))
    for block in range(5, 13):
        x = middle_block(b, block, x)
    x = halving_block(b, 13, x, (728, 1024))
    for i, width in ((1, 1536), (2, 2048)):
        x = b.relu(f"block14_sepconv{i}_act", separable_bn(b, f"block14_sepconv{i}", x, width))
    b.softmax("prob", b.fc("predictions", b.global_pool("avg_pool", x), 1000))
    return b


keras_architecture("keras-xception", xception)
