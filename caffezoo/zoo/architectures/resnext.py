"""ResNeXt: a bottleneck whose 3x3 is cut into many thin groups (Xie et al., arXiv 1611.05431).

``32x4d`` is 32 groups of 4 channels in stage 1; both the bottleneck's width and its output double with every stage. The
3x3 carries the stride, ``pool1`` rounds down (the files write the fork's ``ceil_mode: false``). Blocks are counted
through: ``resx5_conv2``; the sum is spelt ``elewise``. resnext26-32x4d-priv has two blocks in each stage.

The wide ResNet (:mod:`.wide_resnet`) is the same block with one group.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

NETWORKS = {
    "resnext26-32x4d-priv": ((2, 2, 2, 2), 32),
    "resnext50-32x4d": ((3, 4, 6, 3), 32),
    "resnext101-32x4d": ((3, 4, 23, 3), 32),
    "resnext101-64x4d": ((3, 4, 23, 3), 64),
}


def grouped_bottleneck(b: NetBuilder, block: str, x: str, width: int, out: int, stride: int, group: int) -> str:
    """1x1, grouped 3x3, 1x1 and the shortcut, projected where the block changes the shape."""
    y = b.conv_norm(f"{block}_conv1", x, width, 1)
    y = b.conv_norm(f"{block}_conv2", y, width, 3, stride=stride, pad=1, group=group)
    y = b.conv_norm(f"{block}_conv3", y, out, 1, relu=False)
    if stride > 1 or b.channels(x) != out:
        x = b.conv_norm(f"{block}_match_conv", x, out, 1, stride=stride, relu=False)
    return b.relu(f"{block}_elewise_relu", b.eltwise(f"{block}_elewise", [x, y]))


def grouped_resnet(name: str, source: str, prefix: str, depths: tuple[int, ...], width: int, group: int) -> NetBuilder:
    """A ResNet of grouped bottlenecks, ``width`` channels inside the blocks of stage 1."""
    b = NetBuilder(name, provenance(source, "any from 32 up"))
    x = b.conv_norm("conv1", b.input(), 64, 7, stride=2, pad=3)
    x = b.pool("pool1", x, 3, stride=2, pad=1, floor=True)
    index = 0
    for stage, depth in enumerate(depths):
        for i in range(depth):
            index += 1
            stride = 2 if i == 0 and stage > 0 else 1
            x = grouped_bottleneck(b, f"{prefix}{index}", x, width * 2**stage, 256 * 2**stage, stride, group)
    b.softmax("prob", b.fc("classifier", b.global_pool("pool_ave", x), 1000))
    return b


for name, (depths, group) in NETWORKS.items():
    source = f"{SOEAVER}resnext/deploy_{name}.prototxt"
    architecture("resnext", name, partial(grouped_resnet, name, source, "resx", depths, 4 * group, group))
