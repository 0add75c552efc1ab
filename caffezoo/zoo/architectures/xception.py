"""Xception: every convolution but the first two is depthwise, then 1x1 (Chollet, arXiv 1610.02357).

An entry block sums a strided 1x1 projection and the maximum of two separable convolutions; eight middle blocks sum
three separable convolutions and their input; ``xception12`` strides once more. Only block 1 finds its input activated;
all others begin with a ReLU on a blob of its own, so that the shortcut stays as it is. BatchNorm and ReLU stand behind
the 1x1 of a separable convolution, none between. The maximum of block 2 is not padded, all others pad by 1: so block 2
wants a map of even size, the others of odd size, and few input sizes give both.

``xception-dw`` says ConvolutionDepthwise, a fork's layer, where ``xception`` says Convolution with a group for each
channel: names, blobs and results are the same, one caffemodel serves both.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

ENTRY_WIDTHS = (128, 256, 728)
MIDDLE_BLOCKS = 8


class Xception:
    """Builds one of the two spellings; ``depthwise`` is the type of the depthwise layers."""

    def __init__(self, name: str, depthwise: str) -> None:
        sizes = "11 or 12 above a multiple of 32, from 43 up (299, 395)"
        header = provenance(f"{SOEAVER}inception/deploy_{name}.prototxt", sizes)
        self.b = NetBuilder(name, header, bn_eps=1e-3)
        self.depthwise = depthwise

    def separable(self, name: str, x: str, out: int, *, relu: bool = True) -> str:
        """Depthwise 3x3 ``<name>_1``, 1x1 ``<name>_2``, and the normalisation named after both."""
        channels = self.b.channels(x)
        y = self.b.conv(f"{name}_1", x, channels, 3, pad=1, group=channels, type_=self.depthwise)
        return self.b.norm(name, self.b.conv(f"{name}_2", y, out, 1), relu=relu)

    def strided_block(self, index: int, x: str, widths: tuple[int, int]) -> str:
        """A block of the entry or exit flow: halve the map, change the width."""
        b, block = self.b, f"xception{index}"
        shortcut = b.conv_norm(f"{block}_match_conv", x, widths[1], 1, stride=2, relu=False)
        y = x if index == 1 else b.relu(f"{block}_relu", x, top=f"{block}_relu")
        y = self.separable(f"{block}_conv1", y, widths[0])
        y = self.separable(f"{block}_conv2", y, widths[1], relu=False)
        y = b.pool(f"{block}_pool", y, 3, stride=2, pad=0 if index == 2 else 1)
        return b.eltwise(f"{block}_elewise", [shortcut, y])

    def middle_block(self, index: int, x: str) -> str:
        """Three separable convolutions and their input."""
        b, block = self.b, f"xception{index}"
        y = b.relu(f"{block}_relu", x, top=f"{block}_relu")
        for i in (1, 2, 3):
            y = self.separable(f"{block}_conv{i}", y, b.channels(x), relu=i < 3)
        return b.eltwise(f"{block}_elewise", [x, y])

    def build(self) -> NetBuilder:
        """Append all layers."""
        b = self.b
        x = b.conv_norm("conv1", b.input((1, 3, 299, 299)), 32, 3, stride=2)
        x = b.conv_norm("conv2", x, 64, 3)
        for index, width in enumerate(ENTRY_WIDTHS, start=1):
            x = self.strided_block(index, x, (width, width))
        index = len(ENTRY_WIDTHS)
        for _ in range(MIDDLE_BLOCKS):
            index += 1
            x = self.middle_block(index, x)
        x = self.strided_block(index + 1, x, (728, 1024))
        x = self.separable("conv4", self.separable("conv3", x, 1536), 2048)
        b.softmax("prob", b.fc("classifier", b.global_pool("pool_ave", x), 1000))
        return b


def xception(name: str, depthwise: str) -> NetBuilder:
    """Xception with depthwise layers of the given type."""
    return Xception(name, depthwise).build()


architecture("xception", "xception", partial(xception, "xception", "Convolution"))
architecture("xception", "xception-dw", partial(xception, "xception-dw", "ConvolutionDepthwise"))
