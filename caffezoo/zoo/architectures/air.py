"""AirNet: a bottleneck with two branches of unequal depth.

After Yang, Song, Wu and Hu, "Attention Inspiring Receptive-fields Network for Learning Invariant Representations" (IEEE
TNNLS, 2018).

An AIR block of width w sees its input twice: through 1x1 and one 3x3 with w channels, and through 1x1 and two 3x3 with
w/2 channels, which look further. The branches are concatenated before their last BatchNorm, a 1x1 expands the result,
and the shortcut is added. Both first 3x3 convolutions carry the stride, ``pool1`` rounds down.

airx cuts the 3x3 convolutions into groups of 4 channels, half as many groups in the deep branch (``24x4d``: 24 and 12).
The lite networks have a stem of three 3x3 convolutions, all but air50-1x32d, which has the 7x7 of the large ones. Names
are uneven: air101 calls its stem ``res1`` and its blocks ``res2`` to ``res34``; the final pool is ``ave_pool``,
``pool_ave`` or ``pool5``; air101 and airx place a block's projection before its branches, the others after.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.architectures.resnet import lite_stem
from caffezoo.zoo.builder import NetBuilder


@dataclass(frozen=True)
class Air:
    """One AirNet: ``width`` and ``out`` are stage 1's, ``groups`` the first branch's (1: dense)."""

    depths: tuple[int, int, int, int]
    width: int
    out: int
    groups: int = 1
    prefix: str = "air"
    three_conv_stem: bool = False
    match_first: bool = False
    final_pool: str = "pool_ave"


def lite(depths: tuple[int, int, int, int], width: int, *, three_conv_stem: bool = True) -> Air:
    """A small AirNet: dense, ``4 * width`` channels out of stage 1."""
    return Air(depths, width, 4 * width, three_conv_stem=three_conv_stem, final_pool="ave_pool")


NETWORKS = {
    "air14-1x8d": lite((1, 1, 1, 1), 8),
    "air14-1x16d": lite((1, 1, 1, 1), 16),
    "air26-1x16d": lite((2, 2, 2, 2), 16),
    "air26-1x32d": lite((2, 2, 2, 2), 32),
    "air50-1x16d": lite((3, 4, 6, 3), 16),
    "air50-1x32d": lite((3, 4, 6, 3), 32, three_conv_stem=False),
    "airx50-24x4d": Air((3, 4, 6, 3), 96, 256, groups=24, prefix="airx", match_first=True),
    "air101": Air((3, 4, 23, 3), 64, 256, prefix="res", match_first=True, final_pool="pool5"),
    "air152": Air((3, 8, 36, 3), 64, 256),
    "airx101-32x4d": Air((3, 4, 23, 3), 128, 256, groups=32, prefix="airx", match_first=True),
}


def air_block(b: NetBuilder, net: Air, block: str, x: str, stage: int, stride: int) -> str:
    """Two branches, their concatenation, the expansion and the shortcut; ``stage`` counts from 0."""
    width, out = net.width * 2**stage, net.out * 2**stage
    near, far = max(net.groups, 1), max(net.groups // 2, 1)

    def match() -> str:
        if stride == 1 and b.channels(x) == out:
            return x
        return b.conv_norm(f"{block}_match_conv", x, out, 1, stride=stride, relu=False)

    shortcut = match() if net.match_first else x
    y1 = b.conv_norm(f"{block}_conv1_1", x, width, 1)
    y1 = b.conv(f"{block}_conv1_2", y1, width, 3, stride=stride, pad=1, group=near)
    y2 = b.conv_norm(f"{block}_conv2_1", x, width // 2, 1)
    y2 = b.conv_norm(f"{block}_conv2_2", y2, width // 2, 3, stride=stride, pad=1, group=far)
    y2 = b.conv(f"{block}_conv2_3", y2, width // 2, 3, pad=1, group=far)
    y = b.norm(f"{block}_cat", b.concat(f"{block}_cat", [y1, y2]))
    y = b.conv_norm(f"{block}_conv3", y, out, 1, relu=False)
    if not net.match_first:
        shortcut = match()
    return b.relu(f"{block}_relu", b.eltwise(block, [shortcut, y]))


def air(name: str) -> NetBuilder:
    """Build one of :data:`NETWORKS`."""
    net = NETWORKS[name]
    b = NetBuilder(name, provenance(f"{SOEAVER}air/deploy_{name}.prototxt", "any from 32 up"))
    if net.three_conv_stem:
        x = lite_stem(b, b.input(), 2 * net.width)
        index = 0
    else:
        # air101 counts its stem as the first of its ``res`` layers.
        index = 1 if net.prefix == "res" else 0
        x = b.conv_norm("res1" if index else "conv1", b.input(), 64, 7, stride=2, pad=3)
        x = b.pool("pool1", x, 3, stride=2, pad=1, floor=True)
    for stage, depth in enumerate(net.depths):
        for i in range(depth):
            index += 1
            stride = 2 if i == 0 and stage > 0 else 1
            x = air_block(b, net, f"{net.prefix}{index}", x, stage, stride)
    b.softmax("prob", b.fc("classifier", b.global_pool(net.final_pool, x), 1000))
    return b


for name in NETWORKS:
    architecture("air", name, partial(air, name))
