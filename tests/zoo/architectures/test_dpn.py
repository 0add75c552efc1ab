"""Dual path networks: how the two paths grow."""

from __future__ import annotations

import pytest

from caffezoo.zoo.architectures.dpn import NETWORKS, dpn
from tests.zoo.architectures.arithmetic import survey


@pytest.mark.parametrize("name", NETWORKS)
def test_paths_grow_by_their_increments(name: str) -> None:
    net, shapes = NETWORKS[name], survey(dpn(name).net).shapes
    index = 0
    for stage, depth in enumerate(net.depths):
        for i in range(depth):
            index += 1
            side = 56 >> stage
            assert shapes[f"dpn{index}_elewise"] == (1, net.residual << stage, side, side)
            assert shapes[f"dpn{index}_concat"] == (1, (3 + i) * net.increments[stage], side, side)
    assert shapes["pool_ave_flat"][1] == (net.residual << 3) + (2 + net.depths[3]) * net.increments[3]


@pytest.mark.parametrize("name", NETWORKS)
def test_slices_part_the_last_convolution_except_in_the_small_one(name: str) -> None:
    net, layers = NETWORKS[name], dpn(name).net.layer
    slices = [x.name for x in layers if x.type == "Slice"]
    assert len(slices) == (4 if net.small else 4 + sum(net.depths))
    assert any(x.name == "dpn1_conv3_branch1" for x in layers) == net.small


@pytest.mark.parametrize("name", NETWORKS)
def test_every_batch_norm_has_epsilon_1e_3(name: str) -> None:
    eps = {round(x.batch_norm_param.eps, 9) for x in dpn(name).net.layer if x.type == "BatchNorm"}
    assert eps == {0.001}
