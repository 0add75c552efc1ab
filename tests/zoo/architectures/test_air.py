"""AirNets: the block's two branches and their groups."""

from __future__ import annotations

import pytest

from caffezoo.zoo.architectures.air import NETWORKS, air
from tests.zoo.architectures.arithmetic import survey


@pytest.mark.parametrize("name", NETWORKS)
def test_branches_have_the_width_and_half_of_it(name: str) -> None:
    net, found = NETWORKS[name], survey(air(name).net)
    first = f"{net.prefix}{2 if net.prefix == 'res' else 1}"
    assert found.shapes[f"{first}_conv1_2"][1] == net.width
    assert found.shapes[f"{first}_conv2_3"][1] == net.width // 2
    assert found.shapes[first] == (1, net.out, 56, 56)


@pytest.mark.parametrize(("name", "near", "far"), [("airx50-24x4d", 24, 12), ("airx101-32x4d", 32, 16)])
def test_the_deep_branch_has_half_the_groups(name: str, near: int, far: int) -> None:
    groups = {x.name: x.convolution_param.group for x in air(name).net.layer if x.type == "Convolution"}
    assert {g for n, g in groups.items() if n.endswith("conv1_2")} == {near}
    assert {g for n, g in groups.items() if n.endswith(("conv2_2", "conv2_3"))} == {far}
    assert {g for n, g in groups.items() if n.endswith(("conv1_1", "conv2_1", "conv3", "match_conv"))} == {1}


@pytest.mark.parametrize("name", NETWORKS)
def test_depth_in_the_name_counts_three_layers_a_block(name: str) -> None:
    depth = int(name.removeprefix("airx").removeprefix("air").split("-")[0])
    assert 3 * sum(NETWORKS[name].depths) + 2 == depth
