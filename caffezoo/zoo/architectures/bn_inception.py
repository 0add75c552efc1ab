"""BN-Inception (Inception v2): GoogLeNet with BatchNorm, its 5x5 replaced by two 3x3.

After Ioffe and Szegedy, arXiv 1502.03167. Two networks share the table of widths below. SE-Inception v2 (hujie-frank's
SE-BN-Inception) puts an SE unit behind every module, in BVLC's layers: Reshape the gates to N,C and Scale over axis 0.
inception-v2-tf is TF-slim's graph: its 7x7 stem is depthwise with 8 filters a channel, followed by the only 1x1 that
has a bias and no BatchNorm; its reductions pad their pooling, all its averages stay averages, and two modules end in
narrower pool projections.

A reduction concatenates strided convolutions (rounded down) with a maximum (rounded up), so map sizes must suit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from caffezoo.zoo.architectures.provenance import HUJIE, SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.architectures.senet import GLOBAL_POOL_NOTE, HUJIE_NAMES, excitation
from caffezoo.zoo.builder import NetBuilder


@dataclass(frozen=True)
class Widths:
    """Channels of one module: 1x1, 3x3 (reduced, out), double 3x3 (reduced, out), pool projection.

    A module without ``single`` is a reduction: both 3x3 branches stride, the pooling is a plain strided maximum.
    """

    single: int
    triple: tuple[int, int]
    double: tuple[int, int]
    projection: int

    @property
    def reduces(self) -> bool:
        return self.single == 0


MODULES = {
    "3a": Widths(64, (64, 64), (64, 96), 32),
    "3b": Widths(64, (64, 96), (64, 96), 64),
    "3c": Widths(0, (128, 160), (64, 96), 0),
    "4a": Widths(224, (64, 96), (96, 128), 128),
    "4b": Widths(192, (96, 128), (96, 128), 128),
    "4c": Widths(160, (128, 160), (128, 160), 128),
    "4d": Widths(96, (128, 192), (160, 192), 128),
    "4e": Widths(0, (128, 192), (192, 256), 0),
    "5a": Widths(352, (192, 320), (160, 224), 128),
    "5b": Widths(352, (192, 320), (192, 224), 128),
}
# inception-v2-tf's names of the same modules.
TF_NAMES = {
    "3a": "inception_a1", "3b": "inception_a2", "3c": "reduction_a",
    "4a": "inception_b1", "4b": "inception_b2", "4c": "inception_b3", "4d": "inception_b4", "4e": "reduction_b",
    "5a": "inception_c1", "5b": "inception_c2",
}  # fmt: skip
TF_NARROW_PROJECTIONS = {"4c": 96, "4d": 96}


def se_module(b: NetBuilder, module: str, x: str, widths: Widths) -> str:
    """A module as hujie-frank's file names it, its SE unit, and the gated product ``.../output``."""
    base = f"inception_{module}"
    stride = 2 if widths.reduces else 1

    def conv(part: str, y: str, out: int, kernel: int, stride: int = 1) -> str:
        relu = f"{base}/relu_{part}"
        return b.conv_norm(f"{base}/{part}", y, out, kernel, stride=stride, pad=kernel // 2, relu=relu)

    branches = [conv("1x1", x, widths.single, 1)] if not widths.reduces else []
    branches.append(conv("3x3", conv("3x3_reduce", x, widths.triple[0], 1), widths.triple[1], 3, stride))
    y = conv("double3x3a", conv("double3x3_reduce", x, widths.double[0], 1), widths.double[1], 3)
    branches.append(conv("double3x3b", y, widths.double[1], 3, stride))
    if widths.reduces:
        branches.append(b.pool(f"{base}/pool/3x3_s2", x, 3, stride=2))
    else:
        y = b.pool(f"{base}/pool", x, 3, pad=1, method="MAX" if module == "5b" else "AVE")
        branches.append(conv("pool_proj", y, widths.projection, 1))
    x = b.concat(f"{base}/concat", branches)
    gate = b.reshape(f"{base}_prob_reshape", excitation(b, base, x), (0, 0))
    return b.gate(f"{base}_scale", x, gate, top=f"{base}/output")


def se_inception_v2() -> NetBuilder:
    """SE-BN-Inception; the last module pools its maximum, all others average."""
    sizes = "from 1 below to 6 above a multiple of 32, from 31 up (224, 320)"
    header = provenance(f"{HUJIE}SE-BN-Inception.prototxt", sizes, GLOBAL_POOL_NOTE)
    b = NetBuilder("se-inception-v2", header, bn_names=HUJIE_NAMES)
    x = b.conv_norm("conv1/7x7_s2", b.input(), 64, 7, stride=2, pad=3, relu="conv1/relu_7x7")
    x = b.pool("pool1/3x3_s2", x, 3, stride=2)
    x = b.conv_norm("conv2/3x3_reduce", x, 64, 1, relu="conv2/relu_3x3_reduce")
    x = b.conv_norm("conv2/3x3", x, 192, 3, pad=1, relu="conv2/relu_3x3")
    x = b.pool("pool2/3x3_s2", x, 3, stride=2)
    for module, widths in MODULES.items():
        x = se_module(b, module, x, widths)
    b.softmax("prob", b.fc("classifier", b.global_pool("pool5/7x7_s1", x), 1000))
    return b


def tf_module(b: NetBuilder, base: str, x: str, widths: Widths) -> str:
    """A module as soeaver's conversion of TF-slim names it."""
    stride = 2 if widths.reduces else 1
    branches = [b.conv_norm(f"{base}_1x1", x, widths.single, 1)] if not widths.reduces else []
    y = b.conv_norm(f"{base}_3x3_a_reduce", x, widths.triple[0], 1)
    branches.append(b.conv_norm(f"{base}_3x3_a", y, widths.triple[1], 3, stride=stride, pad=1))
    y = b.conv_norm(f"{base}_3x3_b_reduce", x, widths.double[0], 1)
    y = b.conv_norm(f"{base}_3x3_b1", y, widths.double[1], 3, pad=1)
    branches.append(b.conv_norm(f"{base}_3x3_b2", y, widths.double[1], 3, stride=stride, pad=1))
    if widths.reduces:
        return b.concat(f"{base}_concat", [*branches, b.pool(f"{base}_pool", x, 3, stride=2, pad=1)])
    y = b.pool(f"{base}_pool", x, 3, pad=1, method="AVE")
    return b.concat(f"{base}_output", [*branches, b.conv_norm(f"{base}_pool_proj", y, widths.projection, 1)])


def inception_v2_tf() -> NetBuilder:
    """TF-slim's Inception v2."""
    sizes = "7 to 14 above a multiple of 32, from 39 up (231, 327)"
    header = provenance(f"{SOEAVER}inception/deploy_inception-v2.prototxt", sizes)
    b = NetBuilder("inception-v2-tf", header, bn_eps=1e-3)
    x = b.conv("conv1_7x7", b.input((1, 3, 231, 231)), 24, 7, stride=2, pad=3, group=3)
    x = b.relu("conv1_7x7_increase_relu", b.conv("conv1_7x7_increase", x, 64, 1, bias=True))
    x = b.pool("pool1_3x3_s2", x, 3, stride=2)
    x = b.conv_norm("conv2_3x3_reduce", x, 64, 1)
    x = b.conv_norm("conv2_3x3", x, 192, 3, pad=1, relu="conv2_3x3relu")
    x = b.pool("pool2_3x3_s2", x, 3, stride=2)
    for module, widths in MODULES.items():
        widths = replace(widths, projection=TF_NARROW_PROJECTIONS.get(module, widths.projection))
        x = tf_module(b, TF_NAMES[module], x, widths)
    x = b.dropout("pool_7x7_s1_drop", b.global_pool("pool_7x7_s1", x), 0.2)
    b.softmax("prob", b.fc("classifier", x, 1000))
    return b


architecture("senet", "se-inception-v2", se_inception_v2)
architecture("inception", "inception-v2-tf", inception_v2_tf)
