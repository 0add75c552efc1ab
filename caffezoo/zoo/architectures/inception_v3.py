"""Inception v3: factorised convolutions (Szegedy et al., "Rethinking the Inception Architecture", arXiv 1512.00567).

Module a has a 5x5 and a double 3x3 branch; module b reaches 7 pixels by pairs of 1x7 and 7x1; module c ends its
branches in a 1x3 and a 3x1 side by side. Reductions convolve and pool without padding. The last module, c2, pools its
maximum where all others average. The weights come from MXNet's model zoo, hence their 2015 label order.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

INCEPTION_SIZES = "5 to 12 above a multiple of 32, from 69 up (299, 395)"
MODULE_A_PROJECTIONS = (32, 64, 64)
MODULE_B_WIDTHS = (128, 160, 160, 192)
MODULE_C_POOLS = ("AVE", "MAX")


def conv_1xn(b: NetBuilder, name: str, x: str, out: int, n: int) -> str:
    """A convolution of one row, ``n`` wide, that keeps the map's size."""
    return b.conv_norm(name, x, out, (1, n), pad=(0, n // 2))


def conv_nx1(b: NetBuilder, name: str, x: str, out: int, n: int) -> str:
    """A convolution of one column, ``n`` high, that keeps the map's size."""
    return b.conv_norm(name, x, out, (n, 1), pad=(n // 2, 0))


def stem(b: NetBuilder, x: str, *, reduce_relu: str) -> str:
    """From 299 px to 192 maps of 35x35; Inception-ResNet v2 begins alike."""
    x = b.conv_norm("conv1_3x3_s2", x, 32, 3, stride=2, relu="conv1_3x3_relu")
    x = b.conv_norm("conv2_3x3_s1", x, 32, 3, relu="conv2_3x3_relu")
    x = b.conv_norm("conv3_3x3_s1", x, 64, 3, pad=1, relu="conv3_3x3_relu")
    x = b.pool("pool1_3x3_s2", x, 3, stride=2)
    x = b.conv_norm("conv4_3x3_reduce", x, 80, 1, relu=reduce_relu)
    x = b.conv_norm("conv4_3x3", x, 192, 3, relu="conv4_relu_3x3")
    return b.pool("pool2_3x3_s2", x, 3, stride=2)


def module_a(b: NetBuilder, base: str, x: str, projection: int) -> str:
    """1x1; 5x5; double 3x3; average and 1x1."""
    y1 = b.conv_norm(f"{base}_1x1", x, 64, 1)
    y5 = b.conv_norm(f"{base}_5x5", b.conv_norm(f"{base}_5x5_reduce", x, 48, 1), 64, 5, pad=2)
    y3 = b.conv_norm(f"{base}_3x3_1", b.conv_norm(f"{base}_3x3_reduce", x, 64, 1), 96, 3, pad=1)
    y3 = b.conv_norm(f"{base}_3x3_2", y3, 96, 3, pad=1)
    yp = b.conv_norm(f"{base}_pool_proj", b.pool(f"{base}_pool", x, 3, pad=1, method="AVE"), projection, 1)
    return b.concat(f"{base}_output", [y1, y5, y3, yp])


def reduction_a(b: NetBuilder, x: str, out: int, widths: tuple[int, int, int]) -> str:
    """Halve the map by a strided 3x3, a double 3x3 of ``widths`` channels and a maximum, side by side."""
    y = b.conv_norm("reduction_a_3x3", x, out, 3, stride=2)
    z = b.conv_norm("reduction_a_3x3_2_reduce", x, widths[0], 1)
    z = b.conv_norm("reduction_a_3x3_2", z, widths[1], 3, pad=1)
    z = b.conv_norm("reduction_a_3x3_3", z, widths[2], 3, stride=2)
    return b.concat("reduction_a_concat", [y, z, b.pool("reduction_a_pool", x, 3, stride=2)])


def module_b(b: NetBuilder, base: str, x: str, width: int) -> str:
    """1x1; 1x7 and 7x1; 7x1 and 1x7 twice; average and 1x1."""
    y1 = b.conv_norm(f"{base}_1x1_2", x, 192, 1)
    y7 = conv_1xn(b, f"{base}_1x7", b.conv_norm(f"{base}_1x7_reduce", x, width, 1), width, 7)
    y7 = conv_nx1(b, f"{base}_7x1", y7, 192, 7)
    z7 = conv_nx1(b, f"{base}_7x1_2", b.conv_norm(f"{base}_7x1_reduce", x, width, 1), width, 7)
    z7 = conv_1xn(b, f"{base}_1x7_2", z7, width, 7)
    z7 = conv_nx1(b, f"{base}_7x1_3", z7, width, 7)
    z7 = conv_1xn(b, f"{base}_1x7_3", z7, 192, 7)
    yp = b.conv_norm(f"{base}_1x1", b.pool(f"{base}_pool_ave", x, 3, pad=1, method="AVE"), 192, 1)
    return b.concat(f"{base}_concat", [y1, y7, z7, yp])


def reduction_b(b: NetBuilder, x: str, widths3: tuple[int, int], widths7: tuple[int, int, int]) -> str:
    """Halve the map by 1x1 and strided 3x3; 1x1, 1x7, 7x1 and strided 3x3; and a maximum."""
    y = b.conv_norm("reduction_b_3x3_reduce", x, widths3[0], 1)
    y = b.conv_norm("reduction_b_3x3", y, widths3[1], 3, stride=2)
    z = conv_1xn(b, "reduction_b_1x7", b.conv_norm("reduction_b_1x7_reduce", x, widths7[0], 1), widths7[1], 7)
    z = conv_nx1(b, "reduction_b_7x1", z, widths7[2], 7)
    z = b.conv_norm("reduction_b_3x3_2", z, widths7[2], 3, stride=2)
    return b.concat("reduction_b_concat", [y, z, b.pool("reduction_b_pool", x, 3, stride=2)])


def module_c(b: NetBuilder, base: str, x: str, method: str) -> str:
    """1x1; 1x1 that forks into 1x3 and 3x1; 3x3 that forks alike; pooling and 1x1."""
    y1 = b.conv_norm(f"{base}_1x1_2", x, 320, 1)
    y = b.conv_norm(f"{base}_1x3_reduce", x, 384, 1)
    fork = [conv_1xn(b, f"{base}_1x3", y, 384, 3), conv_nx1(b, f"{base}_3x1", y, 384, 3)]
    z = b.conv_norm(f"{base}_3x3", b.conv_norm(f"{base}_3x3_reduce", x, 448, 1), 384, 3, pad=1)
    fork += [conv_1xn(b, f"{base}_1x3_2", z, 384, 3), conv_nx1(b, f"{base}_3x1_2", z, 384, 3)]
    yp = b.conv_norm(f"{base}_1x1", b.pool(f"{base}_pool", x, 3, pad=1, method=method), 192, 1)
    return b.concat(f"{base}_concat", [y1, *fork, yp])


def head(b: NetBuilder, x: str) -> None:
    """Global average, dropout on a blob of its own, classifier; the three large Inceptions end alike."""
    x = b.dropout("pool_8x8_s1_drop", b.global_pool("pool_8x8_s1", x), 0.2, top="pool_8x8_s1_drop")
    b.softmax("prob", b.fc("classifier", x, 1000))


def inception_v3() -> NetBuilder:
    """Stem, three modules a, reduction, four modules b, reduction, two modules c."""
    header = provenance(f"{SOEAVER}inception/deploy_inception-v3.prototxt", INCEPTION_SIZES)
    b = NetBuilder("inception-v3", header, bn_eps=1e-3)
    x = stem(b, b.input((1, 3, 299, 299)), reduce_relu="conv4_relu_3x3_reduce")
    for i, projection in enumerate(MODULE_A_PROJECTIONS, start=1):
        x = module_a(b, f"inception_a{i}", x, projection)
    x = reduction_a(b, x, 384, (64, 96, 96))
    for i, width in enumerate(MODULE_B_WIDTHS, start=1):
        x = module_b(b, f"inception_b{i}", x, width)
    x = reduction_b(b, x, (192, 320), (192, 192, 192))
    for i, method in enumerate(MODULE_C_POOLS, start=1):
        x = module_c(b, f"inception_c{i}", x, method)
    head(b, x)
    return b


architecture("inception", "inception-v3", inception_v3)
