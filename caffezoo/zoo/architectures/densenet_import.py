"""PyTorch's names for DenseNet: torchvision's and timm's, torchvision's older ones, and Cadene's.

The files that torchvision first published, and Cadene's, have a dot inside a dense layer's parts: ``norm.1``,
``conv.1``. Cadene renames the classifier after loading.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.densenet import DEPTHS
from caffezoo.zoo.tensor_map import TensorMap, tensor_map
from caffezoo.zoo.torch_layers import IMAGENET, TorchLayers, as_1x1


def soeaver_map(layers: int, dot: str, classifier: str, *models: str) -> TensorMap:
    """Names for :func:`.densenet.densenet`."""
    t = TorchLayers()
    t.conv_norm("conv1", "features.conv0", "features.norm0")
    n = 0
    for block, depth in enumerate(DEPTHS[layers], start=1):
        for i in range(1, depth + 1):
            n += 1
            torch = f"features.denseblock{block}.denselayer{i}"
            t.norm(f"dense{n}", f"{torch}.norm{dot}1")
            t.conv_norm(f"dense{n}_conv1", f"{torch}.conv{dot}1", f"{torch}.norm{dot}2")
            t.conv(f"dense{n}_conv2", f"{torch}.conv{dot}2")
        if block < len(DEPTHS[layers]):
            t.norm(f"dense{n}_concat", f"features.transition{block}.norm")
            t.conv(f"conv{block + 1}", f"features.transition{block}.conv")
    t.norm(f"dense{n}_concat", "features.norm5")
    t.fc("classifier", classifier, changes=(as_1x1,))
    return t.finish(IMAGENET, *models)


def shicai_map(layers: int, dot: str, classifier: str, *models: str) -> TensorMap:
    """Names for :func:`.densenet.shicai_densenet`."""
    t = TorchLayers(("{}/bn", "{}/scale"))
    t.conv_norm("conv1", "features.conv0", "features.norm0")
    for block, depth in enumerate(DEPTHS[layers], start=1):
        for i in range(1, depth + 1):
            torch = f"features.denseblock{block}.denselayer{i}"
            for part in (1, 2):
                t.norm(f"conv{block + 1}_{i}/x{part}", f"{torch}.norm{dot}{part}")
                t.conv(f"conv{block + 1}_{i}/x{part}", f"{torch}.conv{dot}{part}")
        transition = f"conv{block + 1}_{depth}/blk" if layers == 201 else f"conv{block + 1}_blk"
        if block < len(DEPTHS[layers]):
            t.norm(transition, f"features.transition{block}.norm")
            t.conv(transition, f"features.transition{block}.conv")
        else:
            t.norm(transition, "features.norm5")
    t.fc("fc6", classifier, changes=(as_1x1,))
    return t.finish(IMAGENET, *models)


for layers in DEPTHS:
    models = (f"torchvision:densenet{layers}", f"timm:densenet{layers}")
    for scheme, dot, classifier, known in (
        ("torchvision", "", "classifier", models),
        ("torchvision-2017", ".", "classifier", ()),
        ("cadene", "", "last_linear", (f"pretrainedmodels:densenet{layers}",)),
    ):
        if layers in (121, 201):
            build = partial(soeaver_map, layers, dot, classifier, *known)
            tensor_map(f"densenet{layers}", "torch", build, scheme)
        build = partial(shicai_map, layers, dot, classifier, *known)
        tensor_map(f"densenet{layers}-shicai", "torch", build, scheme)
