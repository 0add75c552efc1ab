"""Dual path networks: one path adds like a ResNet, the other concatenates like a DenseNet.

After Chen et al., arXiv 1707.01629. A DPN block reads both paths concatenated, runs a grouped bottleneck on the
pre-activated blob and splits its last 1x1: the first channels are added to the residual path, the last ``increment``
channels are appended to the dense path. The first block of a stage projects its input (``match``) to both paths at
once, 2 x ``increment`` channels for the dense one, and strides in the 3x3 and in the projection. All BatchNorms have
epsilon 1e-3; ``pool1`` rounds down; the sum is ``elewise``.

dpn-68 has a small 3x3 stem and makes the last 1x1 as two convolutions (``conv3_branch1``, ``conv3_branch2``) where the
others Slice one. Groups are 32, 40 or 50, whatever the published files' ``name`` says (dpn107's is "dpn107_32x3d").
``-extra`` marks weights trained on ImageNet-5k first; the download lists leave it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder


@dataclass(frozen=True)
class DualPath:
    """One DPN.

    ``width`` (bottleneck) and ``residual`` (residual path) are channels in stage 1 and double with each stage;
    ``increments`` are the channels that a block of each stage appends to the dense path.
    """

    source: str
    depths: tuple[int, int, int, int]
    stem: int
    groups: int
    width: int
    increments: tuple[int, int, int, int]
    residual: int = 256
    small: bool = False


NETWORKS = {
    "dpn-68-extra": DualPath("dpn68-extra", (3, 4, 12, 3), 10, 32, 128, (16, 32, 32, 64), residual=64, small=True),
    "dpn-92": DualPath("dpn92", (3, 4, 20, 3), 64, 32, 96, (16, 32, 24, 128)),
    "dpn-98": DualPath("dpn98", (3, 6, 20, 3), 96, 40, 160, (16, 32, 32, 128)),
    "dpn-131": DualPath("dpn131", (4, 8, 28, 3), 128, 40, 160, (16, 32, 32, 128)),
    "dpn-107-extra": DualPath("dpn107-extra", (4, 8, 20, 3), 128, 50, 200, (20, 64, 64, 128)),
}


def split(b: NetBuilder, conv: str, at: int) -> tuple[str, ...]:
    """Part a convolution's channels between the residual and the dense path."""
    return b.slice(f"{conv}_Slice", conv, (f"{conv}_split1", f"{conv}_split2"), (at,))


def dual_path_block(
    b: NetBuilder, net: DualPath, index: int, paths: tuple[str, ...], stage: int, *, entry: bool
) -> tuple[str, ...]:
    """One block; ``paths`` are the residual and the dense blob (before the first block: the stem alone)."""
    block = f"dpn{index}"
    width, residual, increment = net.width * 2**stage, net.residual * 2**stage, net.increments[stage]
    stride = 2 if entry and stage > 0 else 1
    x = b.concat(f"{block}_concat_input", paths) if len(paths) > 1 else paths[0]
    if entry:
        a = b.preact(f"{block}_match", x)
        paths = split(b, b.conv(f"{block}_match_conv", a, residual + 2 * increment, 1, stride=stride), residual)
    y = b.conv_norm(f"{block}_conv1", b.preact(block, x), width, 1)
    y = b.conv_norm(f"{block}_conv2", y, width, 3, stride=stride, pad=1, group=net.groups)
    new: tuple[str, ...]
    if net.small:
        new = (b.conv(f"{block}_conv3_branch1", y, residual, 1), b.conv(f"{block}_conv3_branch2", y, increment, 1))
    else:
        new = split(b, b.conv(f"{block}_conv3", y, residual + increment, 1), residual)
    return b.eltwise(f"{block}_elewise", [paths[0], new[0]]), b.concat(f"{block}_concat", [paths[1], new[1]])


def dpn(name: str) -> NetBuilder:
    """Build one of :data:`NETWORKS`."""
    net = NETWORKS[name]
    header = provenance(f"{SOEAVER}dpn/deploy_{net.source}.prototxt", "any from 32 up")
    b = NetBuilder(name, header, bn_eps=1e-3)
    kernel = 3 if net.small else 7
    x = b.conv_norm("conv1", b.input(), net.stem, kernel, stride=2, pad=kernel // 2)
    paths: tuple[str, ...] = (b.pool("pool1", x, 3, stride=2, pad=1, floor=True),)
    index = 0
    for stage, depth in enumerate(net.depths):
        for i in range(depth):
            index += 1
            paths = dual_path_block(b, net, index, paths, stage, entry=i == 0)
    x = b.preact("pool_ave_concat", b.concat("pool_ave_concat_input", paths))
    x = b.flatten("pool_ave_flat", b.global_pool("pool_ave", x))
    b.softmax("prob", b.fc("classifier", x, 1000))
    return b


for name in NETWORKS:
    architecture("dpn", name, partial(dpn, name))
