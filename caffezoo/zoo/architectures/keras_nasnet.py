"""Keras' NASNet-A: two cells that a search found, repeated (Zoph et al., arXiv 1707.07012).

A cell reads two maps: ``h``, the output of the cell before it, and ``p``, of the one before that. Both are first
brought to the cell's width (and ``p`` to the size of ``h``). Five pairs of operations are added, and what no pair has
used up is concatenated. A normal cell keeps the size; a reduction cell halves it. The operations are separable
convolutions applied twice (3x3, 5x5, 7x7), 3x3 averages and maxima, and the identity.

The network is a strided convolution, two reduction cells and three times N normal cells with a reduction cell in
between, each stage twice as wide as the one before. Mobile: N = 4, 1056 channels at the end; Large: N = 6, 4032
channels at 331 px. In Large the cell behind a reduction reads, as its ``p``, what the reduction's predecessor read
(``skip_reduction``).

In a reduction cell Keras pads with zeros before it pools ``h`` (from keras-applications 1.0.5 on), and they take part:
the maximum at a border is at least zero, the average counts them. Pooling of stride 1 is 'same', without them.

Where Keras pools one map twice alike (the two averages of ``p`` in a normal cell, the two maxima of ``h`` in a
reduction cell) or rectifies it repeatedly, one layer serves here.
"""

from __future__ import annotations

from dataclasses import dataclass

from caffezoo.zoo.architectures.keras_registry import keras_architecture
from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.keras_builder import KerasBuilder

SOURCE = "keras-team/keras-applications keras_applications/nasnet.py"


@dataclass(frozen=True)
class Plan:
    """What distinguishes the two published networks."""

    name: str
    size_px: int
    sizes: str
    cells: int
    stem_width: int
    penultimate_width: int
    skip_reduction: bool


MOBILE = Plan("keras-nasnet-mobile", 224, "multiples of 32, or one less", 4, 32, 1056, False)
LARGE = Plan("keras-nasnet-large", 331, "299, 331, 363, 395: multiples of 32 plus 11 or 12", 6, 96, 4032, True)


def project(b: KerasBuilder, conv: str, bn: str, x: str, width: int) -> str:
    return b.bn(bn, b.conv2d(conv, b.rectified(x), width, 1))


def separable_twice(b: KerasBuilder, name: str, x: str, width: int, kernel: int, *, strides: int = 1) -> str:
    """ReLU, separable convolution, BatchNormalization, twice; only the first strides."""
    x = b.separable(f"separable_conv_1_{name}", b.rectified(x), width, kernel, strides=strides)
    x = b.relu(f"separable_conv_1_relu_{name}", b.bn(f"separable_conv_1_bn_{name}", x))
    return b.bn(f"separable_conv_2_bn_{name}", b.separable(f"separable_conv_2_{name}", x, width, kernel))


def halved(b: KerasBuilder, cell: str, p: str, width: int) -> str:
    """Halve a map without losing the odd pixels: every second from the first on beside every second from the second on.

    Keras shifts the map by one pixel, with zeros behind it, and subsamples. Here a strided 1x1 convolution with one
    pixel of padding does the same once its first row and column are dropped.
    """
    p = b.rectified(p)
    even = b.conv2d(f"adjust_conv_1_{cell}", p, width // 2, 1, strides=2)
    odd = b.odd_conv2d(f"adjust_conv_2_{cell}", p, width // 2)
    return b.bn(f"adjust_bn_{cell}", b.concat(f"adjust_concat_{cell}", [even, odd]))


def adjusted(b: KerasBuilder, cell: str, p: str, h: str, width: int) -> str:
    """Bring ``p`` to the size of ``h`` and to ``width`` channels; the first cell reads one map twice, as it is."""
    if b.size(p) != b.size(h):
        return halved(b, cell, p, width)
    return p if p == h else project(b, f"adjust_conv_projection_{cell}", f"adjust_bn_{cell}", p, width)


def normal_cell(b: KerasBuilder, cell: str, x: str, p: str, width: int) -> str:
    p = adjusted(b, cell, p, x, width)
    h = project(b, f"normal_conv_1_{cell}", f"normal_bn_1_{cell}", x, width)

    def separable(side: str, of: str, kernel: int) -> str:
        return separable_twice(b, f"normal_{side}_{cell}", of, width, kernel)

    def add(i: int, left: str, right: str) -> str:
        return b.eltwise(f"normal_add_{i}_{cell}", [left, right])

    x1 = add(1, separable("left1", h, 5), separable("right1", p, 3))
    x2 = add(2, separable("left2", p, 5), separable("right2", p, 3))
    x3 = add(3, b.average_pool(f"normal_left3_{cell}", h, 3, padding="same"), p)
    average = b.average_pool(f"normal_left4_{cell}", p, 3, padding="same")
    x4 = add(4, average, average)
    x5 = add(5, separable("left5", h, 3), h)
    return b.concat(f"normal_concat_{cell}", [p, x1, x2, x3, x4, x5])


def reduction_cell(b: KerasBuilder, cell: str, x: str, p: str, width: int) -> str:
    p = adjusted(b, cell, p, x, width)
    h = project(b, f"reduction_conv_1_{cell}", f"reduction_bn_1_{cell}", x, width)

    def separable(side: str, of: str, kernel: int, strides: int = 2) -> str:
        return separable_twice(b, f"reduction_{side}_{cell}", of, width, kernel, strides=strides)

    def add(name: str, left: str, right: str) -> str:
        return b.eltwise(f"reduction_{name}_{cell}", [left, right])

    padded = b.zero_padding(f"reduction_pad_1_{cell}", h, 3)
    maximum = b.max_pool(f"reduction_left2_{cell}", padded, 3)
    x1 = add("add_1", separable("left1", h, 5), separable("right1", p, 7))
    x2 = add("add_2", maximum, separable("right2", p, 7))
    average = b.average_pool(f"reduction_left3_{cell}", padded, 3, strides=2)
    x3 = add("add3", average, separable("right3", p, 5))
    x4 = add("sum4", x2, b.average_pool(f"reduction_left4_{cell}", x1, 3, padding="same"))
    x5 = add("add4", separable("left4", x1, 3, strides=1), maximum)
    return b.concat(f"reduction_concat_{cell}", [x2, x3, x4, x5])


def nasnet(plan: Plan, size_px: int | None = None) -> KerasBuilder:
    """NASNet-A after a plan; widths are counted back from the last map, which has 24 of them."""
    b = KerasBuilder(plan.name, provenance(SOURCE, plan.sizes), size_px or plan.size_px)
    width = plan.penultimate_width // 24
    stem = b.bn("stem_bn1", b.conv2d("stem_conv1", b.image, plan.stem_width, 3, strides=2))
    p, x = stem, reduction_cell(b, "stem_1", stem, stem, width // 4)
    p, x = x, reduction_cell(b, "stem_2", x, p, width // 2)
    for stage in range(3):
        if stage:
            width *= 2
            before = x
            x = reduction_cell(b, f"reduce_{stage * plan.cells}", x, p, width)
            p = p if plan.skip_reduction else before
        for i in range(plan.cells):
            cell = stage * plan.cells + i + (stage > 0)  # Mobile: 0..3, 5..8, 9..12
            p, x = x, normal_cell(b, str(cell), x, p, width)
    x = b.global_pool("global_average_pooling2d_1", b.rectified(x))
    b.softmax("prob", b.fc("predictions", x, 1000))
    return b


keras_architecture(MOBILE.name, lambda: nasnet(MOBILE))
keras_architecture(LARGE.name, lambda: nasnet(LARGE))
