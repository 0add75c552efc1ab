"""Wide ResNets: fewer layers, more channels.

wrn50-2 is ResNet-50 with its bottlenecks twice as wide (Zagoruyko and Komodakis, arXiv 1605.07146); soeaver's other
name for it is resnet50-1x128d.

resnet38a is model A of Wu, Shen and van den Hengel, "Wider or Deeper" (arXiv 1611.10080; project ademxapp): a
pre-activation network of plain 3x3 blocks, of which the last two are bottlenecks. No convolution strides; five 3x3
maxima between the stages halve the map, all rounded up, and the projection of a stage reads the activated blob.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.architectures.resnext import grouped_resnet
from caffezoo.zoo.builder import NetBuilder

# Blocks in a stage, then (kernel, channels) of each convolution of such a block; stages are parted by a pooling.
RESNET38A: tuple[tuple[tuple[int, tuple[tuple[int, int], ...]], ...], ...] = (
    ((3, ((3, 128), (3, 128))),),
    ((3, ((3, 256), (3, 256))),),
    ((6, ((3, 512), (3, 512))),),
    ((3, ((3, 512), (3, 1024))),),
    ((1, ((1, 512), (3, 1024), (1, 2048))), (1, ((1, 1024), (3, 2048), (1, 4096)))),
)


def wide_block(b: NetBuilder, block: str, x: str, convs: tuple[tuple[int, int], ...]) -> str:
    """A pre-activation block; the projection stands before the convolutions, as in the published file."""
    a = b.preact(block, x)
    out = convs[-1][1]
    if b.channels(x) != out:
        x = b.conv(f"{block}_match_conv", a, out, 1)
    y = a
    for i, (kernel, width) in enumerate(convs, start=1):
        y = b.conv(f"{block}_conv{i}", y, width, kernel, pad=kernel // 2)
        if i < len(convs):
            y = b.norm(f"{block}_conv{i}", y)
    return b.eltwise(f"{block}_eletwise", [x, y])


def resnet38a() -> NetBuilder:
    """Model A: plain pre-activation blocks between five poolings, two wide bottlenecks at the end."""
    b = NetBuilder("resnet38a", provenance(f"{SOEAVER}resnet-v2/deploy_resnet38a.prototxt", "any from 32 up"))
    x = b.conv("conv1", b.input(), 64, 3, pad=1, bias=True)
    index = 0
    for stage, groups in enumerate(RESNET38A, start=1):
        x = b.pool(f"pool{stage}", x, 3, stride=2)
        for depth, convs in groups:
            for _ in range(depth):
                index += 1
                x = wide_block(b, f"res{index}", x, convs)
    x = b.norm(f"res{index}_eletwise", x)
    b.softmax("prob", b.fc("classifier", b.global_pool("pool_ave", x), 1000))
    return b


architecture(
    "wide-resnet",
    "wrn50-2",
    partial(grouped_resnet, "wrn50-2", f"{SOEAVER}wider-resnet/deploy_wrn50-2.prototxt", "res", (3, 4, 6, 3), 128, 1),
)
architecture("resnet-v2", "resnet38a", resnet38a)
