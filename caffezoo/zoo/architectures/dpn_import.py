"""PyTorch's names for dual path networks: Cadene's and timm's, which differ in the classifier.

There a BatchNorm belongs to the convolution behind it, here to the blob before it: ``c3x3_b.bn`` is the norm of
``conv1``. In dpn-68 the last 1x1 of a block is one convolution, parted here by its rows; dpn68b has it as two, as the
Caffe network does.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.dpn import NETWORKS, DualPath
from caffezoo.zoo.architectures.resnet_import import counted
from caffezoo.zoo.tensor_map import TensorMap, rows, tensor_map
from caffezoo.zoo.torch_layers import DPN, TorchLayers, flattened


def block_outputs(t: TorchLayers, net: DualPath, block: str, torch: str, stage: int, two: bool) -> None:
    """The last 1x1 of a block, to the residual and to the dense path."""
    if not net.small:
        t.conv(f"{block}_conv3", f"{torch}.c1x1_c.conv")
        return
    residual, increment = net.residual * 2**stage, net.increments[stage]
    if two:
        t.conv(f"{block}_conv3_branch1", f"{torch}.c1x1_c1")
        t.conv(f"{block}_conv3_branch2", f"{torch}.c1x1_c2")
    else:
        source = f"{torch}.c1x1_c.conv"
        t.conv(f"{block}_conv3_branch1", source, changes=(rows(0, residual),))
        t.conv(f"{block}_conv3_branch2", source, changes=(rows(residual, residual + increment),))


def dpn_map(name: str, classifier: str, *models: str, two: bool = False) -> TensorMap:
    """Names of one of :data:`.dpn.NETWORKS`; ``two`` for dpn68b's pair of last convolutions."""
    net = NETWORKS[name]
    t = TorchLayers()
    t.conv_norm("conv1", "features.conv1_1.conv", "features.conv1_1.bn")
    for number, stage, i in counted(net.depths):
        block, torch = f"dpn{number}", f"features.conv{stage + 2}_{i + 1}"
        if i == 0:
            match = f"{torch}.c1x1_w_s{2 if stage > 0 else 1}"
            t.norm(f"{block}_match", f"{match}.bn")
            t.conv(f"{block}_match_conv", f"{match}.conv")
        t.norm(block, f"{torch}.c1x1_a.bn")
        t.conv_norm(f"{block}_conv1", f"{torch}.c1x1_a.conv", f"{torch}.c3x3_b.bn")
        t.conv_norm(f"{block}_conv2", f"{torch}.c3x3_b.conv", f"{torch}.c1x1_c.bn")
        block_outputs(t, net, block, torch, stage, two)
    t.norm("pool_ave_concat", "features.conv5_bn_ac.bn")
    t.fc("classifier", classifier, changes=(flattened,))
    return t.finish(DPN, *models)


for name in NETWORKS:
    published = name.removesuffix("-extra").replace("-", "")
    for scheme, package, classifier in (
        ("cadene", "pretrainedmodels", "last_linear"),
        ("timm", "timm", "classifier"),
    ):
        build = partial(dpn_map, name, classifier, f"{package}:{published}")
        tensor_map(name, "torch", build, scheme)
        if NETWORKS[name].small:
            build = partial(dpn_map, name, classifier, f"{package}:{published}b", two=True)
            tensor_map(name, "torch", build, f"{scheme}-b")
