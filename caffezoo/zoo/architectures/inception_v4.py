"""Inception v4: a uniform Inception with a branching stem (Szegedy et al., arXiv 1602.07261).

The stem concatenates a strided convolution and a maximum twice, with a pair of 3x3 branches between them. Then four
modules a, a reduction, seven modules b, a reduction, three modules c. The reductions are Inception v3's with other
widths.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.inception_v3 import conv_1xn, conv_nx1, head, reduction_a, reduction_b
from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder


def stem(b: NetBuilder, x: str) -> str:
    """From 299 px to 384 maps of 35x35."""
    x = b.conv_norm("conv1_3x3_s2", x, 32, 3, stride=2)
    x = b.conv_norm("conv2_3x3_s1", x, 32, 3)
    x = b.conv_norm("conv3_3x3_s1", x, 64, 3, pad=1)

    base = "inception_stem1"
    y = b.conv_norm(f"{base}_3x3_s2", x, 96, 3, stride=2)
    x = b.concat(base, [b.pool(f"{base}_pool", x, 3, stride=2), y])

    base = "inception_stem2"
    y = b.conv_norm(f"{base}_3x3", b.conv_norm(f"{base}_3x3_reduce", x, 64, 1), 96, 3)
    z = conv_1xn(b, f"{base}_1x7", b.conv_norm(f"{base}_1x7_reduce", x, 64, 1), 64, 7)
    z = b.conv_norm(f"{base}_3x3_2", conv_nx1(b, f"{base}_7x1", z, 64, 7), 96, 3)
    x = b.concat(base, [y, z])

    base = "inception_stem3"
    y = b.conv_norm(f"{base}_3x3_s2", x, 192, 3, stride=2)
    return b.concat(base, [y, b.pool(f"{base}_pool", x, 3, stride=2)])


def pooled(b: NetBuilder, base: str, x: str, out: int) -> str:
    """The average-and-1x1 branch that all modules have."""
    return b.conv_norm(f"{base}_1x1", b.pool(f"{base}_pool_ave", x, 3, pad=1, method="AVE"), out, 1)


def module_a(b: NetBuilder, base: str, x: str) -> str:
    """1x1; 3x3; double 3x3; average and 1x1."""
    y1 = b.conv_norm(f"{base}_1x1_2", x, 96, 1)
    y3 = b.conv_norm(f"{base}_3x3", b.conv_norm(f"{base}_3x3_reduce", x, 64, 1), 96, 3, pad=1)
    z3 = b.conv_norm(f"{base}_3x3_2", b.conv_norm(f"{base}_3x3_2_reduce", x, 64, 1), 96, 3, pad=1)
    z3 = b.conv_norm(f"{base}_3x3_3", z3, 96, 3, pad=1)
    return b.concat(f"{base}_concat", [y1, y3, z3, pooled(b, base, x, 96)])


def module_b(b: NetBuilder, base: str, x: str) -> str:
    """1x1; 1x7 and 7x1; 7x1 and 1x7 twice; average and 1x1."""
    y1 = b.conv_norm(f"{base}_1x1_2", x, 384, 1)
    y7 = conv_1xn(b, f"{base}_1x7", b.conv_norm(f"{base}_1x7_reduce", x, 192, 1), 224, 7)
    y7 = conv_nx1(b, f"{base}_7x1", y7, 256, 7)
    z7 = conv_nx1(b, f"{base}_7x1_2", b.conv_norm(f"{base}_7x1_2_reduce", x, 192, 1), 192, 7)
    z7 = conv_1xn(b, f"{base}_1x7_2", z7, 224, 7)
    z7 = conv_nx1(b, f"{base}_7x1_3", z7, 224, 7)
    z7 = conv_1xn(b, f"{base}_1x7_3", z7, 256, 7)
    return b.concat(f"{base}_concat", [y1, y7, z7, pooled(b, base, x, 128)])


def module_c(b: NetBuilder, base: str, x: str) -> str:
    """1x1; 1x1 that forks into 1x3 and 3x1; 3x1 and 1x3 that fork alike; average and 1x1."""
    y1 = b.conv_norm(f"{base}_1x1_2", x, 256, 1)
    y = b.conv_norm(f"{base}_1x1_3", x, 384, 1)
    fork = [conv_1xn(b, f"{base}_1x3", y, 256, 3), conv_nx1(b, f"{base}_3x1", y, 256, 3)]
    z = b.conv_norm(f"{base}_1x1_4", x, 384, 1)
    z = conv_1xn(b, f"{base}_1x3_2", conv_nx1(b, f"{base}_3x1_2", z, 448, 3), 512, 3)
    fork += [conv_1xn(b, f"{base}_1x3_3", z, 256, 3), conv_nx1(b, f"{base}_3x1_3", z, 256, 3)]
    return b.concat(f"{base}_concat", [y1, *fork, pooled(b, base, x, 256)])


def inception_v4() -> NetBuilder:
    """Stem, four modules a, reduction, seven modules b, reduction, three modules c."""
    sizes = "11 or 12 above a multiple of 32, from 75 up (299, 395)"
    header = provenance(f"{SOEAVER}inception/deploy_inception-v4.prototxt", sizes)
    b = NetBuilder("inception-v4", header, bn_eps=1e-3)
    x = stem(b, b.input((1, 3, 299, 299)))
    for i in range(1, 5):
        x = module_a(b, f"inception_a{i}", x)
    x = reduction_a(b, x, 384, (192, 224, 256))
    for i in range(1, 8):
        x = module_b(b, f"inception_b{i}", x)
    x = reduction_b(b, x, (192, 192), (256, 256, 320))
    for i in range(1, 4):
        x = module_c(b, f"inception_c{i}", x)
    head(b, x)
    return b


architecture("inception", "inception-v4", inception_v4)
