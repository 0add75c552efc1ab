"""Keras' VGG16 and VGG19: VGG's graph (see :mod:`~caffezoo.zoo.architectures.vgg`) under Keras' layer names.

The weights are VGG's own, converted. ``fc1`` reads a flattened map; Keras flattens height, width, channels and Caffe
channels, height, width, so its columns are reordered on import, not here.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.keras_registry import keras_architecture
from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.vgg import stages
from caffezoo.zoo.keras_builder import KerasBuilder

SIZES = "224 (from 224 to 255 the last map is 7x7, as fc1 needs it)"


def vgg(layers: int, size_px: int = 224) -> KerasBuilder:
    source = f"keras-team/keras-applications keras_applications/vgg{layers}.py"
    b = KerasBuilder(f"keras-vgg{layers}", provenance(source, SIZES), size_px, mode="caffe")
    x = b.image
    for stage, widths in enumerate(stages(layers), start=1):
        for i, width in enumerate(widths, start=1):
            conv = f"block{stage}_conv{i}"
            x = b.relu(f"{conv}_relu", b.conv2d(conv, x, width, 3, padding="same", bias=True))
        x = b.max_pool(f"block{stage}_pool", x, 2)
    for fc in ("fc1", "fc2"):
        x = b.relu(f"{fc}_relu", b.fc(fc, x, 4096))
    b.softmax("prob", b.fc("predictions", x, 1000))
    return b


for layers in (16, 19):
    keras_architecture(f"keras-vgg{layers}", partial(vgg, layers))
