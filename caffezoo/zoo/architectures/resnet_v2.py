"""ResNet v2: normalise and activate before the convolutions, and leave the sum alone (He et al., arXiv 1603.05027).

A block's BatchNorm reads the running sum and writes a blob of its own, because the sum goes on untouched to the next
Eltwise (``eletwise`` in the published names). The first block of stage 1 finds its input activated by the stem and has
no BatchNorm of its own; where a block changes the shape, the projection reads the activated blob. The 3x3 carries the
stride. A last BatchNorm and ReLU stand before the pooling. ``pool1`` rounds up.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

DEPTHS = {101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 269: (3, 30, 48, 8)}


def preact_bottleneck(b: NetBuilder, block: str, x: str, width: int, stride: int, *, activated: bool) -> str:
    """A pre-activation bottleneck; ``activated`` says that ``x`` is so already."""
    out = 4 * width
    a = x if activated else b.preact(block, x)
    y = b.conv_norm(f"{block}_conv1", a, width, 1)
    y = b.conv_norm(f"{block}_conv2", y, width, 3, stride=stride, pad=1)
    y = b.conv(f"{block}_conv3", y, out, 1)
    if stride > 1 or b.channels(x) != out:
        x = b.conv(f"{block}_match_conv", a, out, 1, stride=stride)
    return b.eltwise(f"{block}_eletwise", [x, y])


def resnet_v2(layers: int) -> NetBuilder:
    """Build ResNet v2 with this many layers (a key of :data:`DEPTHS`)."""
    name = f"resnet{layers}-v2"
    b = NetBuilder(name, provenance(f"{SOEAVER}resnet-v2/deploy_{name}.prototxt", "any from 32 up"))
    x = b.pool("pool1", b.conv_norm("conv1", b.input(), 64, 7, stride=2, pad=3), 3, stride=2)
    index = 0
    for stage, depth in enumerate(DEPTHS[layers]):
        for i in range(depth):
            index += 1
            stride = 2 if i == 0 and stage > 0 else 1
            x = preact_bottleneck(b, f"res{index}", x, 64 * 2**stage, stride, activated=index == 1)
    x = b.preact(f"res{index}_eletwise", x)
    b.softmax("prob", b.fc("classifier", b.global_pool("pool5", x), 1000))
    return b


for layers in DEPTHS:
    architecture("resnet-v2", f"resnet{layers}-v2", partial(resnet_v2, layers))
