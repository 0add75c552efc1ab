"""Keras' MobileNet (widths 1.0, 0.75, 0.5 and 0.25) and MobileNetV2, with ReLU6 and weights from TF-slim.

Every stride-2 convolution stands on an even map as long as the input is a multiple of 32 px, and there the explicit
padding of MobileNet, ((0, 1), (0, 1)), and TensorFlow's 'same' are one. See :mod:`caffezoo.zoo.keras_builder` for how
such a padding is built.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.keras_registry import keras_architecture
from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.keras_builder import KerasBuilder

APPLICATIONS = "keras-team/keras-applications keras_applications/"
SIZES = "multiples of 32"
V1_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
# (output channels, blocks, stride of the first)
V2_STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


def mobilenet(alpha: float, size_px: int = 224) -> KerasBuilder:
    """MobileNet with every width multiplied by ``alpha``."""
    b = KerasBuilder(f"keras-mobilenet-{alpha}", provenance(f"{APPLICATIONS}mobilenet.py", SIZES), size_px)
    x = b.conv2d("conv1", b.image, int(32 * alpha), 3, strides=2, padding="same")
    x = b.relu6("conv1_relu", b.bn("conv1_bn", x))
    for i, (width, strides) in enumerate(V1_BLOCKS, start=1):
        x = b.depthwise(f"conv_dw_{i}", x, 3, strides=strides)
        x = b.relu6(f"conv_dw_{i}_relu", b.bn(f"conv_dw_{i}_bn", x))
        x = b.conv2d(f"conv_pw_{i}", x, int(width * alpha), 1)
        x = b.relu6(f"conv_pw_{i}_relu", b.bn(f"conv_pw_{i}_bn", x))
    x = b.dropout("dropout", b.global_pool("global_average_pooling2d_1", x), 1e-3)
    x = b.conv2d("conv_preds", x, 1000, 1, bias=True)
    b.softmax("prob", b.flatten("reshape_2", x))
    return b


def inverted_residual(b: KerasBuilder, block: int, x: str, out: int, strides: int) -> str:
    """Expand six times (not in block 0), filter, project without activation; added where the shapes allow it."""
    prefix, y = "expanded_conv", x
    if block:
        prefix = f"block_{block}"
        y = b.conv2d(f"{prefix}_expand", x, 6 * b.channels(x), 1)
        y = b.relu6(f"{prefix}_expand_relu", b.bn(f"{prefix}_expand_BN", y))
    y = b.depthwise(f"{prefix}_depthwise", y, 3, strides=strides)
    y = b.relu6(f"{prefix}_depthwise_relu", b.bn(f"{prefix}_depthwise_BN", y))
    y = b.bn(f"{prefix}_project_BN", b.conv2d(f"{prefix}_project", y, out, 1))
    return b.eltwise(f"{prefix}_add", [x, y]) if strides == 1 and b.channels(x) == out else y


def mobilenet_v2(size_px: int = 224) -> KerasBuilder:
    b = KerasBuilder("keras-mobilenet-v2", provenance(f"{APPLICATIONS}mobilenet_v2.py", SIZES), size_px)
    x = b.conv2d("Conv1", b.image, 32, 3, strides=2, padding="same")
    x = b.relu6("Conv1_relu", b.bn("bn_Conv1", x))
    block = 0
    for out, blocks, strides in V2_STAGES:
        for i in range(blocks):
            x = inverted_residual(b, block, x, out, strides if i == 0 else 1)
            block += 1
    x = b.relu6("out_relu", b.bn("Conv_1_bn", b.conv2d("Conv_1", x, 1280, 1)))
    b.softmax("prob", b.fc("Logits", b.global_pool("global_average_pooling2d_1", x), 1000))
    return b


for alpha in (1.0, 0.75, 0.5, 0.25):
    keras_architecture(f"keras-mobilenet-{alpha}", partial(mobilenet, alpha))
keras_architecture("keras-mobilenet-v2", mobilenet_v2, renamed={"Logits": "predictions"})
