"""Keras' SqueezeNet v1.1 (rcmalli): the fire modules of :mod:`~caffezoo.zoo.architectures.squeezenet`.

Layer names and blobs are the Caffe network's. The graph is not: Keras' maxima round down, so at 227 px the maps have
56, 27 and 13 pixels where Caffe's have 56, 28 and 14.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.architectures.squeezenet import SIZES, fires
from caffezoo.zoo.builder import NetBuilder


def squeezenet() -> NetBuilder:
    header = provenance("rcmalli/keras-squeezenet keras_squeezenet/squeezenet.py", SIZES)
    b = NetBuilder("keras-squeezenet-v1.1", header)
    x = b.relu("relu_conv1", b.conv("conv1", b.input((1, 3, 227, 227)), 64, 3, stride=2, bias=True))
    x = fires(b, x, (2, 4, 6), floor=True)
    x = b.relu("relu_conv10", b.conv("conv10", x, 1000, 1, bias=True))
    b.softmax("prob", b.flatten("flatten", b.global_pool("pool10", x)))
    return b


architecture("keras", "keras-squeezenet-v1.1", squeezenet)
