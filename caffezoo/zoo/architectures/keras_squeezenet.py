"""Keras' SqueezeNet v1.1 (rcmalli): the fire modules of :mod:`~caffezoo.zoo.architectures.squeezenet`.

Layer names and blobs are the Caffe network's. The graph is not: Keras' maxima round down, so at 227 px the maps have
56, 27 and 13 pixels where Caffe's have 56, 28 and 14.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.keras_registry import keras_architecture
from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.squeezenet import SIZES, fires
from caffezoo.zoo.keras_builder import KerasBuilder


def squeezenet() -> KerasBuilder:
    header = provenance("rcmalli/keras-squeezenet keras_squeezenet/squeezenet.py", SIZES)
    b = KerasBuilder("keras-squeezenet-v1.1", header, 227, mode="caffe")
    x = b.relu("relu_conv1", b.conv("conv1", b.image, 64, 3, stride=2, bias=True))
    x = fires(b, x, (2, 4, 6), floor=True)
    x = b.relu("relu_conv10", b.conv("conv10", x, 1000, 1, bias=True))
    b.softmax("prob", b.flatten("flatten", b.global_pool("pool10", x)))
    return b


keras_architecture("keras-squeezenet-v1.1", squeezenet)
