"""PyTorch's names for the VGG networks that came from torchvision: torchvision's, timm's and Cadene's.

``features`` counts convolutions, norms, ReLUs and maxima through. timm has the first two classifiers as convolutions.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.vgg import stages
from caffezoo.zoo.tensor_map import TensorMap, no_tensor_map, tensor_map
from caffezoo.zoo.torch_layers import IMAGENET, TorchLayers, flattened

# Path of the features, then of the three classifiers.
SCHEMES = {
    "torchvision": ("features", ("classifier.0", "classifier.3", "classifier.6")),
    "timm": ("features", ("pre_logits.fc1", "pre_logits.fc2", "head.fc")),
    "cadene": ("_features", ("linear0", "linear1", "last_linear")),
}
PACKAGES = {"torchvision": "torchvision", "timm": "timm", "cadene": "pretrainedmodels"}


def vgg_map(layers: int, bn: bool, scheme: str) -> TensorMap:
    """Names of one scheme; with ``bn`` a norm follows every convolution."""
    features, classifiers = SCHEMES[scheme]
    t = TorchLayers()
    place = 0
    for stage, widths in enumerate(stages(layers), start=1):
        for i in range(1, len(widths) + 1):
            t.conv(f"conv{stage}_{i}", f"{features}.{place}", bias=True)
            if bn:
                t.norm(f"conv{stage}_{i}", f"{features}.{place + 1}")
            place += 3 if bn else 2
        place += 1
    for layer, path in zip(("fc6", "fc7", "classifier"), classifiers, strict=True):
        t.fc(layer, path, changes=(flattened,) if scheme == "timm" and layer != "classifier" else ())
    return t.finish(IMAGENET, f"{PACKAGES[scheme]}:vgg{layers}{'_bn' if bn else ''}")


for layers in (13, 16, 19):
    for bn in (False, True):
        for scheme in SCHEMES:
            name = f"vgg{layers}{'bn' if bn else ''}-pytorch"
            tensor_map(name, "torch", partial(vgg_map, layers, bn, scheme), scheme)
for name in ("alexnet", "caffenet"):
    reason = "torchvision's alexnet has other widths, no groups and no local response normalisation: another network"
    no_tensor_map(name, "torch", reason)
