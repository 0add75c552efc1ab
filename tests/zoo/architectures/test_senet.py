"""SENets: the squeeze-and-excitation unit, and where networks stride."""

from __future__ import annotations

import pytest

from caffezoo.zoo.architectures.bn_inception import se_inception_v2
from caffezoo.zoo.architectures.senet import NETWORKS, REDUCTION, se_resnet50_hik, senet
from tests.zoo.architectures.arithmetic import survey


@pytest.mark.parametrize("name", NETWORKS)
def test_gates_fit_the_block_that_they_weigh(name: str) -> None:
    net = senet(name).net
    shapes = survey(net).shapes
    blocks = [x for x in net.layer if x.type == "Axpy"]
    assert len(blocks) == sum(NETWORKS[name].depths)
    for block in blocks:
        gate, x, shortcut = (shapes[b] for b in block.bottom)
        assert gate == (1, x[1], 1, 1)
        assert x == shortcut
        assert shapes[f"{block.name}_1x1_down"][1] * REDUCTION == x[1]


@pytest.mark.parametrize(
    ("name", "strided"), [("se-resnet50", "1x1_reduce"), ("se-resnext50-32x4d", "3x3"), ("senet", "3x3")]
)
def test_where_a_stage_strides(name: str, strided: str) -> None:
    convs = {x.name: x.convolution_param for x in senet(name).net.layer if x.type == "Convolution"}
    for part in ("1x1_reduce", "3x3"):
        assert list(convs[f"conv3_1_{part}"].stride) == ([2] if part == strided else [])
    assert list(convs["conv3_1_1x1_proj"].kernel_size) == ([3] if name == "senet" else [1])


@pytest.mark.parametrize("build", [lambda: senet("se-resnet50"), lambda: senet("senet"), se_resnet50_hik])
@pytest.mark.parametrize("size", [32, 224, 225, 320, 395])
def test_weights_fit_at_every_size(build, size: int) -> None:
    net = build().net
    assert survey(net, size).weights == survey(net).weights


@pytest.mark.parametrize("build", [se_resnet50_hik, se_inception_v2])
def test_bvlc_forms_gate_by_a_scale_over_axis_0(build) -> None:
    net = build().net
    shapes = survey(net).shapes
    gates = [x for x in net.layer if x.type == "Scale" and len(x.bottom) == 2]
    assert len(gates) in (16, 10)
    assert not [x for x in net.layer if x.type == "Axpy"]
    for x in gates:
        assert x.scale_param.axis == 0
        assert shapes[x.bottom[1]] == shapes[x.bottom[0]][:2]
