"""ResNets of all kinds: what their names promise."""

from __future__ import annotations

import pytest

from caffezoo.zoo.architectures.resnet import BOTTLENECK_DEPTHS, lite_resnet, msra_resnet
from caffezoo.zoo.architectures.resnet_v2 import DEPTHS, resnet_v2
from caffezoo.zoo.architectures.resnext import NETWORKS, grouped_resnet
from caffezoo.zoo.architectures.wide_resnet import resnet38a
from tests.zoo.architectures.arithmetic import survey


def convolutions(net) -> dict:
    return {layer.name: layer.convolution_param for layer in net.layer if layer.type == "Convolution"}


@pytest.mark.parametrize(("layers", "depths"), BOTTLENECK_DEPTHS.items())
def test_depth_counts_the_main_path(layers: int, depths: tuple[int, ...]) -> None:
    net = msra_resnet("r", depths, bottleneck=True).net
    shortcuts = sum(name.endswith("branch1") for name in convolutions(net))
    assert len(convolutions(net)) - shortcuts + 1 == layers


@pytest.mark.parametrize("layers", DEPTHS)
def test_depth_of_v2(layers: int) -> None:
    net = resnet_v2(layers).net
    shortcuts = sum("match" in name for name in convolutions(net))
    assert len(convolutions(net)) - shortcuts + 1 == layers


def test_v2_sums_are_never_overwritten() -> None:
    net = resnet_v2(101).net
    sums = {layer.top[0] for layer in net.layer if layer.type == "Eltwise"}
    assert [layer.name for layer in net.layer if set(layer.top) & sums and layer.type != "Eltwise"] == []


def test_block_names_of_deep_and_shallow_msra_networks() -> None:
    shallow = {layer.name for layer in msra_resnet("r", BOTTLENECK_DEPTHS[50], bottleneck=True).net.layer}
    deep = {layer.name for layer in msra_resnet("r", BOTTLENECK_DEPTHS[101], bottleneck=True).net.layer}
    assert {"res3d", "res4f"} <= shallow
    assert {"res2c", "res3b3", "res4b22", "res5c"} <= deep
    assert not {"res3b1", "res4b1"} & shallow


@pytest.mark.parametrize(("width", "stem", "projections"), [(16, 16, 3), (64, 64, 3), (96, 64, 4), (128, 64, 4)])
def test_lite_stem_is_at_most_64_wide(width: int, stem: int, projections: int) -> None:
    convs = convolutions(lite_resnet("r", 2, width).net)
    assert convs["conv3"].num_output == stem
    assert sum(name.endswith("match") for name in convs) == projections


@pytest.mark.parametrize("name", NETWORKS)
def test_resnext_groups_are_of_four_channels_in_stage_1(name: str) -> None:
    depths, group = NETWORKS[name]
    convs = convolutions(grouped_resnet(name, "", "resx", depths, 4 * group, group).net)
    last = convs[f"resx{sum(depths)}_conv2"]
    assert (convs["resx1_conv2"].num_output, convs["resx1_conv2"].group) == (4 * group, group)
    assert (last.num_output, last.group) == (32 * group, group)


def test_pooling_rounds_down_only_in_the_lite_and_grouped_networks() -> None:
    def pool1(net) -> tuple[int, ...]:
        return survey(net).shapes["pool1"][2:]

    nets = [msra_resnet("r", (3, 4, 6, 3), bottleneck=True).net, lite_resnet("r", 1, 32).net]
    assert [pool1(net) for net in nets] == [(56, 56), (56, 56)]
    assert survey(nets[0], 225).shapes["pool1"][2] == 56
    assert survey(nets[1], 225).shapes["pool1"][2] == 57


def test_resnet38a_never_strides_in_a_convolution() -> None:
    net = resnet38a().net
    assert all(not p.stride for p in convolutions(net).values())
    assert survey(net).shapes["res17_eletwise"] == (1, 4096, 7, 7)
