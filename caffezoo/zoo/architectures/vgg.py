"""VGG: 3x3 convolutions in five stages, a 2x2 maximum after each, then three wide classifiers (arXiv 1409.1556).

The number counts layers with weights: a stage has two to four convolutions. 124 of the 138 million weights of VGG-16
stand in ``fc6``, ``fc7`` and ``fc8``; ``fc6`` reads a 7x7 map, so the input size is fixed.

Variants and their names:

* ``vgg16``, ``vgg19``: VGG's own. ``vgg16-dsd`` (dense-sparse-dense training) has the same layers.
* ``*-pytorch``: converted from torchvision; the last layer is ``classifier`` and the dropouts ``dropout6``,
  ``dropout7``. With ``bn`` a BatchNorm and a Scale follow every convolution, which keeps its bias.
* ``vgg16-tf``: from TF-slim; the classifiers are convolutions, 7x7 and twice 1x1.
* ``vgg16-5x``: channel pruning (He et al., arXiv 1707.06168), five times faster: narrower stages 1 to 4.
* ``vgg16-3c4x``: the same authors' combination of three methods, four times faster: a 3x3 convolution becomes a
  vertical 3x1 (``_V``), a horizontal 1x3 (``_H``) and, up to stage 4, a 1x1 (``_P``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder
from caffezoo.zoo.renaming import same_blobs

DAVIDGENGENBACH = "davidgengenbach/vgg-caffe model/"
SIZES = "224 (from 193 to 224 the last map is 7x7, as fc6 needs it)"
DEPTHS = {13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)
PRUNED_5X = ((24, 22), (41, 51), (108, 89, 111), (184, 276, 228), (512, 512, 512))
# Widths of the 3x1 and 1x3 convolutions, then of the 1x1 behind them; stage 5 has no 1x1 and widens in the 1x3.
SPLIT_3C4X = {
    "1_2": (22, 59), "2_1": (37, 118), "2_2": (47, 119), "3_1": (83, 226), "3_2": (89, 243), "3_3": (106, 256),
    "4_1": (175, 482), "4_2": (192, 457), "4_3": (227, 512), "5_1": (398, 0), "5_2": (390, 0), "5_3": (379, 0),
}  # fmt: skip

Conv = Callable[[NetBuilder, str, str, int], str]


def conv3x3(b: NetBuilder, place: str, x: str, width: int) -> str:
    return b.relu(f"relu{place}", b.conv(f"conv{place}", x, width, 3, pad=1, bias=True))


def conv3x3_bn(b: NetBuilder, place: str, x: str, width: int) -> str:
    return b.conv_norm(f"conv{place}", x, width, 3, pad=1, bias=True, relu=f"relu{place}")


def conv3x3_split(b: NetBuilder, place: str, x: str, width: int) -> str:
    """The 3x3 convolution of vgg16-3c4x: one direction after the other, then the channels."""
    if place not in SPLIT_3C4X:
        return conv3x3(b, place, x, width)
    rank, reduced = SPLIT_3C4X[place]
    x = b.conv(f"conv{place}_V", x, rank, (3, 1), pad=(1, 0), bias=True)
    x = b.conv(f"conv{place}_H", x, rank if reduced else width, (1, 3), pad=(0, 1), bias=True)
    if reduced:
        x = b.conv(f"conv{place}_P", x, reduced, 1, bias=True)
    return b.relu(f"relu{place}", x)


def features(b: NetBuilder, stages: Sequence[Sequence[int]], conv: Conv) -> str:
    """Five stages of convolutions, each closed by a 2x2 maximum: 224 px become 7."""
    x = b.input()
    for stage, widths in enumerate(stages, start=1):
        for i, width in enumerate(widths, start=1):
            x = conv(b, f"{stage}_{i}", x, width)
        x = b.pool(f"pool{stage}", x, 2, stride=2)
    return x


def classifiers(b: NetBuilder, x: str, dropout: str, last: str) -> None:
    for i in (6, 7):
        x = b.dropout(f"{dropout}{i}", b.relu(f"relu{i}", b.fc(f"fc{i}", x, 4096)))
    b.softmax("prob", b.fc(last, x, 1000))


def convolutional_classifiers(b: NetBuilder, x: str) -> None:
    for i, kernel in ((6, 7), (7, 1)):
        x = b.dropout(f"dropout{i}", b.relu(f"relu{i}", b.conv(f"fc{i}", x, 4096, kernel, bias=True)))
    b.softmax("prob", b.reshape("reshape", b.conv("fc8", x, 1000, 1, bias=True), (0, 0)))


def stages(layers: int) -> tuple[tuple[int, ...], ...]:
    return tuple((width,) * depth for width, depth in zip(WIDTHS, DEPTHS[layers], strict=True))


def vgg(
    name: str,
    source: str,
    widths: Sequence[Sequence[int]],
    *,
    conv: Conv = conv3x3,
    dropout: str = "drop",
    last: str = "fc8",
) -> NetBuilder:
    b = NetBuilder(name, provenance(source, SIZES))
    classifiers(b, features(b, widths, conv), dropout, last)
    return b


def vgg16_tf() -> NetBuilder:
    b = NetBuilder("vgg16-tf", provenance(f"{SOEAVER}vgg/deploy_vgg16-tf.prototxt", SIZES))
    convolutional_classifiers(b, features(b, stages(16), conv3x3))
    return b


def variants() -> Iterator[tuple[str, Callable[[], NetBuilder]]]:
    for n in (16, 19):
        source = f"{DAVIDGENGENBACH}VGG_ILSVRC_{n}_layers_deploy.prototxt"
        yield f"vgg{n}", partial(vgg, f"vgg{n}", source, stages(n))
    for n in DEPTHS:
        for suffix, conv in (("", conv3x3), ("bn", conv3x3_bn)):
            name = f"vgg{n}{suffix}-pytorch"
            source = f"{SOEAVER}vgg/deploy_{name}.prototxt"
            yield name, partial(vgg, name, source, stages(n), conv=conv, dropout="dropout", last="classifier")
    yield "vgg16-tf", vgg16_tf
    yield "vgg16-dsd", partial(vgg, "vgg16-dsd", f"{SOEAVER}vgg/deploy_vgg16-dsd.prototxt", stages(16))
    yield "vgg16-5x", partial(vgg, "vgg16-5x", f"{SOEAVER}vgg/deploy_vgg16-5x.prototxt", PRUNED_5X)
    source = f"{SOEAVER}vgg/deploy_vgg16-3c4x.prototxt"
    yield "vgg16-3c4x", partial(vgg, "vgg16-3c4x", source, stages(16), conv=conv3x3_split)


for name, build in variants():
    architecture("vgg", name, build)
same_blobs("vgg16", "vgg16-dsd", "vgg16-pytorch", "vgg16-tf")
same_blobs("vgg19", "vgg19-pytorch")
