"""Keras' DenseNet: dense layers as in :mod:`~caffezoo.zoo.architectures.densenet`, under Keras' names.

The converted weights are Torch's. Every transition halves the channels; growth is 32. A ReLU follows the last
BatchNormalization ``bn``: the first releases of keras-applications forgot it, the weights want it.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.densenet import DEPTHS
from caffezoo.zoo.architectures.keras_registry import keras_architecture
from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.keras_builder import KerasBuilder

GROWTH = 32


def dense_layer(b: KerasBuilder, name: str, x: str) -> str:
    """BatchNormalization, ReLU, 1x1 to four times the growth; the same with a 3x3 to the growth; concatenated."""
    y = b.relu(f"{name}_0_relu", b.bn(f"{name}_0_bn", x, top=f"{name}_0_bn"))
    y = b.conv2d(f"{name}_1_conv", y, 4 * GROWTH, 1)
    y = b.relu(f"{name}_1_relu", b.bn(f"{name}_1_bn", y))
    return b.concat(f"{name}_concat", [x, b.conv2d(f"{name}_2_conv", y, GROWTH, 3, padding="same")])


def transition(b: KerasBuilder, name: str, x: str) -> str:
    x = b.relu(f"{name}_relu", b.bn(f"{name}_bn", x))
    return b.average_pool(f"{name}_pool", b.conv2d(f"{name}_conv", x, b.channels(x) // 2, 1), 2, strides=2)


def densenet(layers: int, size_px: int = 224) -> KerasBuilder:
    header = provenance("keras-team/keras-applications keras_applications/densenet.py", "any from 32 up")
    b = KerasBuilder(f"keras-densenet{layers}", header, size_px, bn_eps=1.001e-5, mode="torch")
    x = b.conv2d("conv1/conv", b.image, 64, 7, strides=2, padding=3)
    x = b.relu("conv1/relu", b.bn("conv1/bn", x))
    # Behind a ReLU Keras' zero padding and Caffe's padding of a maximum are the same.
    x = b.max_pool("pool1", x, 3, padding=1)
    for block, depth in enumerate(DEPTHS[layers], start=2):
        if block > 2:
            x = transition(b, f"pool{block - 1}", x)
        for i in range(1, depth + 1):
            x = dense_layer(b, f"conv{block}_block{i}", x)
    x = b.relu("relu", b.bn("bn", x))
    b.softmax("prob", b.fc("fc1000", b.global_pool("avg_pool", x), 1000))
    return b


for layers in (121, 169, 201):
    keras_architecture(f"keras-densenet{layers}", partial(densenet, layers), renamed={"fc1000": "predictions"})
