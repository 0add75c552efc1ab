"""PyTorch's names for ResNet, ResNeXt and the wide ResNet.

torchvision calls blocks ``layer1.0`` with ``conv1``, ``bn1`` and so on, the projection ``downsample``; timm does the
same. Cadene's ResNeXts were translated from Lua and have numbers for names.

The networks of :mod:`.resnet` under MSRA's names stride in the first 1x1 of a bottleneck and round ``pool1`` up;
torchvision's bottlenecks of the same names stride in the 3x3 and pad the maximum: another network, whose tensors have
the same names and shapes. Only Cadene's ``cafferesnet101``, MSRA's own weights in PyTorch, fits; as no name tells it
from torchvision's, it must be asked for by its scheme. ResNet-18 has one stride in each block either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from caffezoo.zoo.architectures import resnet, resnext
from caffezoo.zoo.tensor_map import Conventions, TensorMap, no_tensor_map, tensor_map
from caffezoo.zoo.torch_layers import IMAGENET, TorchLayers

MSRA = Conventions((102.9801, 115.9465, 122.7717), (1.0, 1.0, 1.0), "2012")
TORCH_RESNETS = {
    "resnext50-32x4d": ("torchvision:resnext50_32x4d", "timm:resnext50_32x4d"),
    "resnext101-32x4d": ("timm:resnext101_32x4d",),
    "resnext101-64x4d": ("torchvision:resnext101_64x4d", "timm:resnext101_64x4d"),
    "wrn50-2": ("torchvision:wide_resnet50_2", "timm:wide_resnet50_2"),
}


def counted(depths: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Number of a block from 1, its stage from 0, its place in the stage from 0."""
    places = [(stage, i) for stage, depth in enumerate(depths) for i in range(depth)]
    for number, (stage, i) in enumerate(places, start=1):
        yield number, stage, i


def grouped_map(name: str, prefix: str, depths: tuple[int, ...]) -> TensorMap:
    """torchvision's and timm's names for :func:`.resnext.grouped_resnet`."""
    t = TorchLayers()
    t.conv_norm("conv1", "conv1", "bn1")
    for number, stage, i in counted(depths):
        block = f"layer{stage + 1}.{i}"
        for part in (1, 2, 3):
            t.conv_norm(f"{prefix}{number}_conv{part}", f"{block}.conv{part}", f"{block}.bn{part}")
        if i == 0:
            t.conv_norm(f"{prefix}{number}_match_conv", f"{block}.downsample.0", f"{block}.downsample.1")
    t.fc("classifier", "fc")
    return t.finish(IMAGENET, *TORCH_RESNETS[name])


def lua_map(name: str, depths: tuple[int, ...]) -> TensorMap:
    """Cadene's names: the places of nested lists."""
    t = TorchLayers()
    t.conv_norm("conv1", "features.0", "features.1")
    for number, stage, i in counted(depths):
        branch = f"features.{stage + 4}.{i}.0.0"
        t.conv_norm(f"resx{number}_conv1", f"{branch}.0.0", f"{branch}.0.1")
        t.conv_norm(f"resx{number}_conv2", f"{branch}.0.3", f"{branch}.0.4")
        t.conv_norm(f"resx{number}_conv3", f"{branch}.1", f"{branch}.2")
        if i == 0:
            shortcut = f"features.{stage + 4}.{i}.0.1"
            t.conv_norm(f"resx{number}_match_conv", f"{shortcut}.0", f"{shortcut}.1")
    t.fc("classifier", "last_linear")
    return t.finish(IMAGENET, f"pretrainedmodels:{name.replace('-', '_')}")


def msra_map(
    depths: tuple[int, ...], *models: str, bottleneck: bool, msra: bool = False, last: str = "fc"
) -> TensorMap:
    """torchvision's names for :func:`.resnet.msra_resnet`; ``msra`` weights are BGR already."""
    t = TorchLayers(bgr=msra)
    t.conv("conv1", "conv1")
    t.norm("conv1", "bn1", names=("bn_conv1", "scale_conv1"))
    for _, stage, i in counted(depths):
        block = resnet.block_name(depths, stage + 2, i)
        parts = [(f"branch2{'abc'[part]}", f"conv{part + 1}", f"bn{part + 1}") for part in range(2 + bottleneck)]
        if i == 0 and (bottleneck or stage > 0):
            parts.append(("branch1", "downsample.0", "downsample.1"))
        for branch, conv, norm in parts:
            place = f"{block}_{branch}"
            t.conv(f"res{place}", f"layer{stage + 1}.{i}.{conv}")
            t.norm(place, f"layer{stage + 1}.{i}.{norm}", names=(f"bn{place}", f"scale{place}"))
    t.fc("fc1000", last)
    return t.finish(MSRA if msra else IMAGENET, *models, explicit=msra)


for name, (depths, _) in resnext.NETWORKS.items():
    if name in TORCH_RESNETS:
        tensor_map(name, "torch", partial(grouped_map, name, "resx", depths), "torchvision")
    if name.startswith("resnext101"):
        tensor_map(name, "torch", partial(lua_map, name, depths), "cadene")
tensor_map("wrn50-2", "torch", partial(grouped_map, "wrn50-2", "res", (3, 4, 6, 3)), "torchvision")
models = ("torchvision:resnet18", "timm:resnet18")
build = partial(msra_map, (2, 2, 2, 2), *models, bottleneck=False)
tensor_map("resnet18-priv", "torch", build, "torchvision")
build = partial(
    msra_map,
    resnet.BOTTLENECK_DEPTHS[101],
    "pretrainedmodels:cafferesnet101",
    bottleneck=True,
    msra=True,
    last="last_linear",
)
tensor_map("resnet101", "torch", build, "cafferesnet")
for layers in (50, 152):
    no_tensor_map(
        f"resnet{layers}",
        "torch",
        "torchvision's and timm's networks of that name stride in the 3x3 of a bottleneck, this one in the 1x1",
    )
