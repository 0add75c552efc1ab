"""Inception-ResNet v2: Inception branches that learn a scaled residual (Szegedy et al., arXiv 1602.07261).

A module concatenates its branches, expands them by a 1x1 with bias and no BatchNorm (``_up``) and adds the result to
its input with a factor of 0.17, 0.1 or 0.2 (the Eltwise's ``coeff``), then a ReLU. The very last module adds at full
scale and has no ReLU. Ten modules a, a reduction, twenty modules b, a reduction, ten modules c and a 1x1 to 1536
channels.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.inception_v3 import INCEPTION_SIZES, conv_1xn, conv_nx1, head, reduction_a, stem
from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder


def mixed_stem(b: NetBuilder, x: str) -> str:
    """Inception v3's stem and first module a, wider and under names of its own."""
    x = stem(b, x, reduce_relu="conv4_3x3_reduce_relu")
    y1 = b.conv_norm("conv5_1x1", x, 96, 1)
    y5 = b.conv_norm("conv5_5x5", b.conv_norm("conv5_5x5_reduce", x, 48, 1), 64, 5, pad=2)
    y3 = b.conv_norm("conv5_3x3", b.conv_norm("conv5_3x3_reduce", x, 64, 1), 96, 3, pad=1)
    y3 = b.conv_norm("conv5_3x3_2", y3, 96, 3, pad=1)
    yp = b.conv_norm("conv5_1x1_ave", b.pool("ave_pool", x, 3, pad=1, method="AVE"), 64, 1)
    return b.concat("stem_concat", [y1, y5, y3, yp])


def residual(b: NetBuilder, base: str, x: str, branches: list[str], factor: float) -> str:
    """Concatenate, expand, add ``factor`` times the result to ``x``; at full scale there is no ReLU."""
    y = b.conv(f"{base}_up", b.concat(f"{base}_concat", branches), b.channels(x), 1, bias=True)
    if factor == 1.0:
        return b.eltwise(f"{base}_residual_eltwise", [x, y])
    total = b.eltwise(f"{base}_residual_eltwise", [x, y], coeff=(1.0, factor))
    return b.relu(f"{base}_residual_eltwise_relu", total)


def module_a(b: NetBuilder, base: str, x: str) -> str:
    """1x1; 3x3; double 3x3."""
    y1 = b.conv_norm(f"{base}_1x1", x, 32, 1)
    y3 = b.conv_norm(f"{base}_3x3", b.conv_norm(f"{base}_3x3_reduce", x, 32, 1), 32, 3, pad=1)
    z3 = b.conv_norm(f"{base}_3x3_2", b.conv_norm(f"{base}_3x3_2_reduce", x, 32, 1), 48, 3, pad=1)
    z3 = b.conv_norm(f"{base}_3x3_3", z3, 64, 3, pad=1)
    return residual(b, base, x, [y1, y3, z3], 0.17)


def module_b(b: NetBuilder, base: str, x: str) -> str:
    """1x1; 1x7 and 7x1."""
    y1 = b.conv_norm(f"{base}_1x1", x, 192, 1)
    y7 = conv_1xn(b, f"{base}_1x7", b.conv_norm(f"{base}_1x7_reduce", x, 128, 1), 160, 7)
    return residual(b, base, x, [y1, conv_nx1(b, f"{base}_7x1", y7, 192, 7)], 0.1)


def reduction_b(b: NetBuilder, x: str) -> str:
    """Three strided 3x3 branches behind 1x1 convolutions, the last of them double, and a maximum."""
    base = "reduction_b"
    y = b.conv_norm(f"{base}_3x3", b.conv_norm(f"{base}_3x3_reduce", x, 256, 1), 384, 3, stride=2)
    z = b.conv_norm(f"{base}_3x3_2", b.conv_norm(f"{base}_3x3_2_reduce", x, 256, 1), 288, 3, stride=2)
    w = b.conv_norm(f"{base}_3x3_3", b.conv_norm(f"{base}_3x3_3_reduce", x, 256, 1), 288, 3, pad=1)
    w = b.conv_norm(f"{base}_3x3_4", w, 320, 3, stride=2)
    return b.concat(f"{base}_concat", [y, z, w, b.pool(f"{base}_pool", x, 3, stride=2)])


def module_c(b: NetBuilder, base: str, x: str, factor: float) -> str:
    """1x1; 1x3 and 3x1."""
    y1 = b.conv_norm(f"{base}_1x1", x, 192, 1)
    y3 = conv_1xn(b, f"{base}_1x3", b.conv_norm(f"{base}_1x3_reduce", x, 192, 1), 224, 3)
    return residual(b, base, x, [y1, conv_nx1(b, f"{base}_3x1", y3, 256, 3)], factor)


def inception_resnet_v2() -> NetBuilder:
    """Stem, ten modules a, reduction, twenty modules b, reduction, ten modules c."""
    header = provenance(f"{SOEAVER}inception/deploy_inception-resnet-v2.prototxt", INCEPTION_SIZES)
    b = NetBuilder("inception-resnet-v2", header, bn_eps=1e-3)
    x = mixed_stem(b, b.input((1, 3, 299, 299)))
    for i in range(1, 11):
        x = module_a(b, f"inception_resnet_v2_a{i}", x)
    x = reduction_a(b, x, 384, (256, 256, 384))
    for i in range(1, 21):
        x = module_b(b, f"inception_resnet_v2_b{i}", x)
    x = reduction_b(b, x)
    for i in range(1, 11):
        x = module_c(b, f"inception_resnet_v2_c{i}", x, 0.2 if i < 10 else 1.0)
    head(b, b.conv_norm("conv6_1x1", x, 1536, 1))
    return b


architecture("inception", "inception-resnet-v2", inception_resnet_v2)
