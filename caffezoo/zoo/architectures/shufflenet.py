"""ShuffleNet v1 and v2: cheap grouped or split convolutions, and a channel shuffle that mixes what they kept apart.

v1 (arXiv 1707.01083), here with three groups: a bottleneck of grouped 1x1 convolutions around a depthwise 3x3; the
first 1x1 is followed by a shuffle. A block that strides concatenates its input's 3x3 average instead of adding. v2
(arXiv 1807.11164) splits its input: one half passes, the other is convolved; both are concatenated and shuffled.

Layer names are those of farmingyard's files (``elewise`` is theirs). The ReLU behind v1's concatenations also
rectifies the average. Both end at the logits, ``fc1000``, without a softmax. ``ShuffleChannel`` and
``ConvolutionDepthwise`` are layers of forks, not of BVLC's Caffe.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

FARMINGYARD = "farmingyard/ShuffleNet "
LOGITS = "Output: logits, no softmax"
GROUPS = 3
BLOCKS_PER_STAGE = (4, 8, 4)


def shuffle(b: NetBuilder, name: str, x: str, group: int) -> str:
    return b.layer("ShuffleChannel", name, x, shuffle_channel_param={"group": group})


def depthwise(b: NetBuilder, name: str, x: str, stride: int) -> str:
    """Depthwise 3x3 with BatchNorm and Scale, no ReLU."""
    width = b.channels(x)
    return b.conv_norm(name, x, width, 3, stride=stride, pad=1, relu=False, type_="ConvolutionDepthwise")


def stem(b: NetBuilder) -> str:
    return b.pool("pool1", b.conv_norm("conv1", b.input(), 24, 3, stride=2, pad=1), 3, stride=2)


def grouped_unit(b: NetBuilder, n: int, x: str, out: int, *, first: bool) -> str:
    """Unit ``n`` of v1; the first of a stage strides, and its branch makes only the channels that the average lacks."""
    name, stride = f"resx{n}", 2 if first else 1
    shortcut = b.pool(f"{name}_match_conv", x, 3, stride=2, method="AVE") if first else x
    made = out - b.channels(x) if first else out
    # The very first unit reads 24 channels: too few to group, and nothing to shuffle.
    y = b.conv_norm(f"{name}_conv1", x, made // 4, 1, group=1 if n == 1 else GROUPS)
    if n > 1:
        y = shuffle(b, f"shuffle{n}", y, GROUPS)
    y = depthwise(b, f"{name}_conv2", y, stride)
    y = b.conv_norm(f"{name}_conv3", y, made, 1, group=GROUPS, relu=False)
    if first:
        joined = b.concat(f"{name}_concat", [shortcut, y])
    else:
        joined = b.eltwise(f"{name}_elewise", [shortcut, y])
    return b.relu(f"{joined}_relu", joined)


def shufflenet_v1() -> NetBuilder:
    sizes = "from one below to two above a multiple of 32 (a strided unit's average and convolution round apart)"
    b = NetBuilder("shufflenet-1x-g3", provenance(f"{FARMINGYARD}shufflenet_1x_g3_deploy.prototxt", sizes, LOGITS))
    x, n = stem(b), 0
    for stage, blocks in enumerate(BLOCKS_PER_STAGE):
        for i in range(blocks):
            n += 1
            x = grouped_unit(b, n, x, 240 * 2**stage, first=i == 0)
    b.conv("fc1000", b.global_pool("pool_ave", x), 1000, 1, bias=True)
    return b


def convolved_half(b: NetBuilder, n: int, x: str, width: int, stride: int) -> str:
    y = b.conv_norm(f"branch{n}_2_conv1", x, width, 1)
    y = depthwise(b, f"branch{n}_2_conv2", y, stride)
    return b.conv_norm(f"branch{n}_2_conv3", y, width, 1)


def split_unit(b: NetBuilder, n: int, x: str, width: int, *, first: bool) -> str:
    """Unit ``n`` of v2: two halves of ``width`` channels; where the map shrinks, both halves read all of the input."""
    if first:
        left = depthwise(b, f"branch{n}_1_conv1", x, 2)
        left = b.conv_norm(f"branch{n}_1_conv2", left, width, 1)
        right = convolved_half(b, n, x, width, 2)
    else:
        left, right = b.slice(f"slice{n}", x, [f"branch{n}_1", f"branch{n}_2"], [width])
        right = convolved_half(b, n, right, width, 1)
    return shuffle(b, f"shuffle{n}", b.concat(f"concat{n}", [left, right]), 2)


def shufflenet_v2() -> NetBuilder:
    header = provenance(f"{FARMINGYARD}shufflenet_v2_1x_deploy.prototxt", "any from 32 up", LOGITS)
    b = NetBuilder("shufflenet-v2-1x", header)
    x, n = stem(b), 0
    for stage, blocks in enumerate(BLOCKS_PER_STAGE):
        for i in range(blocks):
            n += 1
            x = split_unit(b, n, x, 58 * 2**stage, first=i == 0)
    x = b.conv_norm("conv5", x, 1024, 1)
    b.conv("fc1000", b.global_pool("pool_ave", x), 1000, 1, bias=True)
    return b


architecture("shufflenet", "shufflenet-1x-g3", shufflenet_v1)
architecture("shufflenet", "shufflenet-v2-1x", shufflenet_v2)
