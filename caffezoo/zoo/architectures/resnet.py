"""ResNet: blocks that learn what to add to their input (He et al., "Deep Residual Learning", arXiv 1512.03385).

Three hands drew these networks. MSRA's own ResNet-50/101/152 stride in a block's first 1x1 convolution and call layers
``res4b3_branch2a``, ``bn4b3_branch2a``, ``scale4b3_branch2a``; stages 3 and 4 of the two deeper ones count their blocks
``a, b1, b2``, all others use letters. Of the three only ResNet-50 keeps a bias in ``conv1``. Caffe rounds ``pool1`` up.
soeaver's copies replace MSRA's fixed 7x7 average by a global one, so one file serves both weights and every input size.

resnet18-priv keeps those names for basic blocks, with ``pool1`` rounded down. The lite networks (``resnet10-1x32d``: 10
layers, 32 channels in stage 1) put three 3x3 convolutions at the front, stride in a block's first 3x3 and count blocks
through: ``res5_conv1``. Their stem is never wider than 64, so the 96d and 128d networks project in stage 1 as well.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import IntOrPair, NetBuilder

SIZES = "any from 32 up"
BOTTLENECK_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def msra_conv(
    b: NetBuilder,
    branch: str,
    x: str,
    out: int,
    kernel: IntOrPair,
    *,
    stride: int = 1,
    pad: int = 0,
    relu: bool = False,
) -> str:
    """``res<branch>``: convolution, ``bn<branch>``, ``scale<branch>`` and, where asked, a ReLU."""
    y = b.conv(f"res{branch}", x, out, kernel, stride=stride, pad=pad)
    b.bn_scale(f"bn{branch}", f"scale{branch}", y)
    return b.relu(f"res{branch}_relu", y) if relu else y


def msra_block(b: NetBuilder, block: str, x: str, width: int, *, stride: int, bottleneck: bool) -> str:
    """One residual block; the shortcut is projected (``branch1``) where the block changes the shape."""
    out = 4 * width if bottleneck else width
    shortcut = x
    if stride > 1 or b.channels(x) != out:
        shortcut = msra_conv(b, f"{block}_branch1", x, out, 1, stride=stride)
    if bottleneck:
        y = msra_conv(b, f"{block}_branch2a", x, width, 1, stride=stride, relu=True)
        y = msra_conv(b, f"{block}_branch2b", y, width, 3, pad=1, relu=True)
        y = msra_conv(b, f"{block}_branch2c", y, out, 1)
    else:
        y = msra_conv(b, f"{block}_branch2a", x, width, 3, stride=stride, pad=1, relu=True)
        y = msra_conv(b, f"{block}_branch2b", y, out, 3, pad=1)
    return b.relu(f"res{block}_relu", b.eltwise(f"res{block}", [shortcut, y]))


def block_name(depths: tuple[int, ...], stage: int, i: int) -> str:
    """MSRA's name of block ``i`` of a stage: ``4b3``, or ``4d`` where the stages are short."""
    numbered = sum(depths) > 16 and stage in (3, 4)
    return f"{stage}{'a' if i == 0 else f'b{i}' if numbered else 'abcdef'[i]}"


def msra_resnet(
    name: str, depths: tuple[int, ...], *, bottleneck: bool, conv1_bias: bool = False, pool_floor: bool = False
) -> NetBuilder:
    """A ResNet under MSRA's names; ``pool_floor`` rounds ``pool1`` down."""
    b = NetBuilder(name, provenance(f"{SOEAVER}resnet/deploy_{name}.prototxt", SIZES))
    x = b.conv("conv1", b.input(), 64, 7, stride=2, pad=3, bias=conv1_bias)
    x = b.relu("conv1_relu", b.bn_scale("bn_conv1", "scale_conv1", x))
    x = b.pool("pool1", x, 3, stride=2, pad=1, floor=True) if pool_floor else b.pool("pool1", x, 3, stride=2)
    for stage, depth in enumerate(depths, start=2):
        for i in range(depth):
            block, stride = block_name(depths, stage, i), 2 if i == 0 and stage > 2 else 1
            x = msra_block(b, block, x, 64 * 2 ** (stage - 2), stride=stride, bottleneck=bottleneck)
    b.softmax("prob", b.fc("fc1000", b.global_pool("pool5", x), 1000))
    return b


def lite_block(b: NetBuilder, block: str, x: str, width: int, stride: int) -> str:
    """Two 3x3 convolutions and the shortcut, projected where the block changes the shape."""
    y = b.conv_norm(f"{block}_conv1", x, width, 3, stride=stride, pad=1)
    y = b.conv_norm(f"{block}_conv2", y, width, 3, pad=1, relu=False)
    if stride > 1 or b.channels(x) != width:
        x = b.conv_norm(f"{block}_match", x, width, 1, stride=stride, relu=False)
    return b.relu(f"{block}_relu", b.eltwise(block, [x, y]))


def lite_stem(b: NetBuilder, x: str, width: int) -> str:
    """Three 3x3 convolutions in place of one 7x7, and a maximum that rounds down: 224 px become 56."""
    x = b.conv_norm("conv1", x, width // 2, 3, stride=2, pad=1)
    x = b.conv_norm("conv2", x, width // 2, 3, pad=1)
    x = b.conv_norm("conv3", x, width, 3, pad=1)
    return b.pool("pool1", x, 3, stride=2, pad=1, floor=True)


def lite_resnet(name: str, blocks_per_stage: int, width: int) -> NetBuilder:
    """A lite ResNet; ``width`` is the channels of stage 1."""
    b = NetBuilder(name, provenance(f"{SOEAVER}resnet/deploy_{name}.prototxt", SIZES))
    x = lite_stem(b, b.input(), min(width, 64))
    for i in range(4 * blocks_per_stage):
        stage = i // blocks_per_stage
        stride = 2 if stage > 0 and i % blocks_per_stage == 0 else 1
        x = lite_block(b, f"res{i + 1}", x, width * 2**stage, stride)
    b.softmax("prob", b.fc("classifier", b.global_pool("pool_avg", x), 1000))
    return b


for layers, depths in BOTTLENECK_DEPTHS.items():
    name = f"resnet{layers}"
    architecture("resnet", name, partial(msra_resnet, name, depths, bottleneck=True, conv1_bias=layers == 50))
architecture(
    "resnet", "resnet18-priv", partial(msra_resnet, "resnet18-priv", (2, 2, 2, 2), bottleneck=False, pool_floor=True)
)
for layers, widths in {10: (32, 48, 64, 96), 18: (16, 32, 48, 64, 96, 128)}.items():
    for width in widths:
        name = f"resnet{layers}-1x{width}d"
        architecture("resnet", name, partial(lite_resnet, name, (layers - 2) // 8, width))
