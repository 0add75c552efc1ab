"""PyTorch's names for the authors' SE networks: Cadene's, which timm keeps as ``legacy_...``.

The official caffemodels number classes in the order of 2015, Cadene's port in that of 2012.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.resnet_import import counted
from caffezoo.zoo.architectures.senet import HUJIE_NAMES, NETWORKS
from caffezoo.zoo.tensor_map import TensorMap, tensor_map
from caffezoo.zoo.torch_layers import IMAGENET, TorchLayers

BLOCK_PARTS = ("1x1_reduce", "3x3", "1x1_increase")


def senet_map(name: str) -> TensorMap:
    """Cadene's names of one of :data:`.senet.NETWORKS`."""
    net = NETWORKS[name]
    t = TorchLayers(HUJIE_NAMES[:2])
    stem = ("conv1_1/3x3_s2", "conv1_2/3x3", "conv1_3/3x3") if net.senet154 else ("conv1/7x7_s2",)
    for i, layer in enumerate(stem, start=1):
        t.conv_norm(layer, f"layer0.conv{i}", f"layer0.bn{i}")
    for _, stage, i in counted(net.depths):
        block, torch = f"conv{stage + 2}_{i + 1}", f"layer{stage + 1}.{i}"
        for k, part in enumerate(BLOCK_PARTS, start=1):
            t.conv_norm(f"{block}_{part}", f"{torch}.conv{k}", f"{torch}.bn{k}")
        t.conv(f"{block}_1x1_down", f"{torch}.se_module.fc1", bias=True)
        t.conv(f"{block}_1x1_up", f"{torch}.se_module.fc2", bias=True)
        if i == 0:
            t.conv_norm(f"{block}_1x1_proj", f"{torch}.downsample.0", f"{torch}.downsample.1")
    t.fc("classifier", "last_linear")
    cadene = "senet154" if net.senet154 else name.replace("-", "_")
    timm = "legacy_" + cadene.replace("se_", "se")
    return t.finish(IMAGENET, f"pretrainedmodels:{cadene}", f"timm:{timm}")


for name in NETWORKS:
    tensor_map(name, "torch", partial(senet_map, name), "cadene")
