"""SqueezeNet: AlexNet's accuracy with fifty times fewer weights (Iandola et al., arXiv 1602.07360).

A fire module squeezes its input with a 1x1 convolution and expands it twice, 1x1 and 3x3, side by side. No classifier
with weights follows: a 1x1 convolution makes a map for each class and a global average reads it. Version 1.1 pools
earlier and starts with a smaller convolution: the same accuracy at 45 % of the work. Version 1.0 pads ``conv10``, a
1x1 convolution, by one pixel: the border, which holds rectified biases, takes part in the average.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

SIZES = "any from 48 up"
SQUEEZE_WIDTHS = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}


def fire(b: NetBuilder, module: int, x: str) -> str:
    """Fire module: squeeze to ``width`` channels, expand to four times as many in each of two branches."""
    width, prefix = SQUEEZE_WIDTHS[module], f"fire{module}/"
    x = b.relu(f"{prefix}relu_squeeze1x1", b.conv(f"{prefix}squeeze1x1", x, width, 1, bias=True))
    left = b.relu(f"{prefix}relu_expand1x1", b.conv(f"{prefix}expand1x1", x, 4 * width, 1, bias=True))
    right = b.relu(f"{prefix}relu_expand3x3", b.conv(f"{prefix}expand3x3", x, 4 * width, 3, pad=1, bias=True))
    return b.concat(f"{prefix}concat", [left, right])


def fires(b: NetBuilder, x: str, pool_before: tuple[int, ...], *, floor: bool = False) -> str:
    """Fire modules 2 to 9; a 3x3 maximum before those of ``pool_before``, named after the module ahead of it."""
    for module in SQUEEZE_WIDTHS:
        if module in pool_before:
            x = b.pool(f"pool{module - 1}", x, 3, stride=2, floor=floor)
        x = fire(b, module, x)
    return b.dropout("drop9", x)


def squeezenet(version: str, conv1: tuple[int, int], pool_before: tuple[int, ...], conv10_pad: int) -> NetBuilder:
    name = f"squeezenet-v{version}"
    b = NetBuilder(name, provenance(f"forresti/SqueezeNet SqueezeNet_v{version}/deploy.prototxt", SIZES))
    width, kernel = conv1
    x = b.relu("relu_conv1", b.conv("conv1", b.input((1, 3, 227, 227)), width, kernel, stride=2, bias=True))
    x = fires(b, x, pool_before)
    x = b.relu("relu_conv10", b.conv("conv10", x, 1000, 1, pad=conv10_pad, bias=True))
    b.softmax("prob", b.global_pool("pool10", x))
    return b


architecture("squeezenet", "squeezenet-v1.0", partial(squeezenet, "1.0", (96, 7), (2, 5, 9), 1))
architecture("squeezenet", "squeezenet-v1.1", partial(squeezenet, "1.1", (64, 3), (2, 4, 6), 0))
