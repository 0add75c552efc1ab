"""The Inceptions and Xception: map sizes that meet, and what sets one version apart from the next."""

from __future__ import annotations

import pytest

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.zoo.architectures.bn_inception import inception_v2_tf, se_inception_v2
from caffezoo.zoo.architectures.inception import AUXILIARY_HEADS, googlenet, inception_v1_tf
from caffezoo.zoo.architectures.inception_resnet_v2 import inception_resnet_v2
from caffezoo.zoo.architectures.inception_v3 import inception_v3
from caffezoo.zoo.architectures.inception_v4 import inception_v4
from caffezoo.zoo.architectures.xception import xception
from tests.zoo.architectures.arithmetic import aligned_sizes, survey


def xception_grouped():
    return xception("xception", "Convolution")


# The smallest input and the remainders on division by 32, as the files' headers state them.
ALIGNED = [
    (inception_v2_tf, 39, range(7, 15)),
    (se_inception_v2, 31, (31, 0, 1, 2, 3, 4, 5, 6)),
    (inception_v3, 69, range(5, 13)),
    (inception_v4, 75, (11, 12)),
    (inception_resnet_v2, 69, range(5, 13)),
    (xception_grouped, 43, (11, 12)),
]


@pytest.mark.parametrize(("build", "smallest", "remainders"), ALIGNED)
def test_sizes_that_align(build, smallest: int, remainders) -> None:
    net = build().net
    sizes = [*range(16, 112), 224, 225, 227, 229, 231, 299, 320, 327, 331, 395]
    assert aligned_sizes(net, sizes) == [s for s in sizes if s >= smallest and s % 32 in remainders]


def test_googlenet_takes_any_size_but_its_auxiliary_heads_do_not() -> None:
    plain = googlenet("g", "", "", auxiliary=False).net
    heads = googlenet("g", "", "", auxiliary=True).net
    sizes = [32, 64, 190, 191, 224, 238, 239, 320]
    assert aligned_sizes(plain, sizes) == sizes
    assert aligned_sizes(heads, sizes) == [191, 224, 238]


def test_auxiliary_heads_are_read_by_nothing() -> None:
    net = googlenet("g", "", "", auxiliary=True).net
    read = {b for layer in net.layer for b in layer.bottom}
    dangling = {t for layer in net.layer for t in layer.top} - read
    assert dangling == {"prob", *(f"{head}/classifier" for head in AUXILIARY_HEADS.values())}


def test_tf_slim_has_no_5x5_in_inception_v1() -> None:
    kernels = {k for x in inception_v1_tf().net.layer for k in x.convolution_param.kernel_size}
    assert kernels == {1, 3, 7}


@pytest.mark.parametrize(
    ("build", "pool"), [(inception_v3, "inception_c{}_pool"), (se_inception_v2, "inception_5{}/pool")]
)
def test_the_last_module_pools_the_maximum(build, pool: str) -> None:
    names = [pool.format(x) for x in ("12" if build is inception_v3 else "ab")]
    methods = {x.name: x.pooling_param.pool for x in build().net.layer if x.type == "Pooling"}
    assert [methods[name] for name in names] == [pb.PoolingParameter.AVE, pb.PoolingParameter.MAX]


def test_residual_scales_of_inception_resnet_v2() -> None:
    sums = [x for x in inception_resnet_v2().net.layer if x.type == "Eltwise"]
    scales = [round(x.eltwise_param.coeff[1], 3) if x.eltwise_param.coeff else None for x in sums]
    assert scales == [0.17] * 10 + [0.1] * 20 + [0.2] * 9 + [None]


def test_both_xceptions_bind_the_same_weights() -> None:
    grouped = survey(xception_grouped().net).weights
    depthwise = survey(xception("xception-dw", "ConvolutionDepthwise").net).weights
    assert [(n, blobs) for n, _, blobs in grouped] == [(n, blobs) for n, _, blobs in depthwise]
    assert sum(kind == "ConvolutionDepthwise" for _, kind, _ in depthwise) == 34
