"""PyTorch's names for SqueezeNet v1.1: torchvision's and Cadene's."""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.squeezenet import SQUEEZE_WIDTHS
from caffezoo.zoo.tensor_map import TensorMap, no_tensor_map, tensor_map
from caffezoo.zoo.torch_layers import IMAGENET, TorchLayers

POOL_BEFORE = (2, 4, 6)


def squeezenet_map(classifier: str, model: str) -> TensorMap:
    """``features`` counts the convolution, its ReLU, maxima and fire modules through."""
    t = TorchLayers()
    t.conv("conv1", "features.0", bias=True)
    place = 2
    for number in SQUEEZE_WIDTHS:
        place += number in POOL_BEFORE
        for part in ("squeeze", "expand1x1", "expand3x3"):
            layer = f"fire{number}/{part}{'1x1' if part == 'squeeze' else ''}"
            t.conv(layer, f"features.{place}.{part}", bias=True)
        place += 1
    t.conv("conv10", classifier, bias=True)
    return t.finish(IMAGENET, model)


for scheme, classifier, package in (
    ("torchvision", "classifier.1", "torchvision"),
    ("cadene", "last_conv", "pretrainedmodels"),
):
    tensor_map("squeezenet-v1.1", "torch", partial(squeezenet_map, classifier, f"{package}:squeezenet1_1"), scheme)
no_tensor_map(
    "squeezenet-v1.0",
    "torch",
    "it pads conv10 by one pixel of zeros, which takes part in the average; torchvision's squeezenet1_0 does not",
)
no_tensor_map(
    "mobilenet-v2",
    "torch",
    "it has plain ReLUs and strides one block later than torchvision's and timm's networks, which have ReLU6",
)
