"""Forks' layers drawn against PyTorch's own functions: the ONNX form, by two runtimes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.net.layers.draws import SEEDS, cases
from tests.oracle import assert_close, layer_proto, one_layer_net, onnx_outputs, seeded_blobs

torch = pytest.importorskip("torch")
F = torch.nn.functional
SIZE = st.integers(1, 4)


def hold(kind: str, param: str, shapes: Sequence[tuple[int, ...]], seed: int, judge: Callable[..., Any]) -> None:
    """Compare a layer with a function of its bottoms and learned blobs."""
    rng = np.random.default_rng(seed)
    inputs = {f"x{i}": rng.uniform(-4, 4, shape).astype(np.float32) for i, shape in enumerate(shapes)}
    bottoms = " ".join(f'bottom: "{name}"' for name in inputs)
    proto = layer_proto(f'name: "l" type: "{kind}" {bottoms} top: "y" {param}')
    network = Network.from_proto(one_layer_net(proto, dict(zip(inputs, shapes, strict=True))))
    node = network.nodes[-1]
    blobs = seeded_blobs(node.blob_shapes, seed)
    network = network.with_weights({node.key: blobs} if blobs else {})
    with torch.no_grad():
        wanted = judge(*map(torch.from_numpy, inputs.values()), *map(torch.from_numpy, blobs)).numpy()
    assert node.top_shapes[0] == wanted.shape
    for runtime, found in onnx_outputs(to_onnx(network), inputs).items():
        assert_close(found["y"], wanted, runtime)


@cases(15)
@given(SEEDS, st.sampled_from(["PixelShuffle", "PixelShuffler"]), SIZE, st.integers(2, 3), SIZE, SIZE)
def test_pixels_are_shuffled(seed: int, kind: str, channels: int, step: int, high: int, wide: int) -> None:
    param = f"pixel_shuffle_param {{ upscale_factor: {step} }}" if kind == "PixelShuffle" else ""
    step = step if param else 2
    shape = (2, channels * step**2, high, wide)
    hold(kind, param, [shape], seed, lambda x: F.pixel_shuffle(x, step))


@cases(15)
@given(SEEDS, SIZE, SIZE, SIZE, SIZE)
def test_channels_are_shuffled(seed: int, groups: int, deep: int, high: int, wide: int) -> None:
    param = f"shuffle_channel_param {{ group: {groups} }}"
    hold("ShuffleChannel", param, [(2, groups * deep, high, wide)], seed, lambda x: F.channel_shuffle(x, groups))


@cases(15)
@given(SEEDS, st.permutations(range(4)), st.booleans(), st.booleans(), st.integers(-4, 3))
def test_axes_are_turned(seed: int, order: list[int], across: bool, down: bool, axis: int) -> None:
    shape = (2, 3, 4, 5)
    hold("Transpose", f"transpose_param {{ dim: {order} }}", [shape], seed, lambda x: x.permute(*order))
    hold("Reverse", f"reverse_param {{ axis: {axis} }}", [shape], seed, lambda x: x.flip(axis))
    param = f"flip_width: {str(across).lower()} flip_height: {str(down).lower()}"
    axes = [3] * across + [2] * down
    hold("Flip", f"flip_param {{ {param} }}", [shape], seed, lambda x: x.flip(axes))


@cases(20)
@given(SEEDS, st.integers(2, 3), st.booleans(), st.data())
def test_windows_over_every_axis(seed: int, rank: int, mean: bool, data: st.DataObject) -> None:
    kernel = [data.draw(st.integers(1, 3)) for _ in range(rank)]
    stride = [data.draw(st.integers(1, k)) for k in kernel]
    shape = (2, 2, *(k + data.draw(st.integers(0, 4)) for k in kernel))
    pool = getattr(F, f"{'avg' if mean else 'max'}_pool{rank}d")
    param = f"pool: {'AVE' if mean else 'MAX'} kernel_size: {kernel} stride: {stride}"
    hold(
        "PoolingND", f"pooling_nd_param {{ {param} }}", [shape], seed, lambda x: pool(x, kernel, stride, ceil_mode=True)
    )


@cases(20)
@given(SEEDS, SIZE, SIZE, SIZE, SIZE, st.sampled_from([1e-5, 0.5]))
def test_groups_are_standardised(seed: int, groups: int, deep: int, high: int, wide: int, eps: float) -> None:
    shape = (2, groups * deep, high, wide + 1)
    param = f"group_norm_param {{ group_num: {groups} eps: {eps} }}"
    hold("GroupNorm", param, [shape], seed, lambda x: F.group_norm(x, groups, eps=eps))
    param = f"instance_norm_param {{ affine: true eps: {eps} }}"
    hold("InstanceNorm", param, [shape], seed, lambda x, a, b: F.instance_norm(x, weight=a, bias=b, eps=eps))


@cases(15)
@given(SEEDS, SIZE, st.integers(2, 5), st.integers(2, 5))
def test_a_flow_moves_pixels(seed: int, channels: int, high: int, wide: int) -> None:
    def moved(x: Any, flow: Any) -> Any:
        rows, columns = torch.meshgrid(torch.arange(high), torch.arange(wide), indexing="ij")
        place = torch.stack([columns + flow[:, 0], rows + flow[:, 1]], 3)
        last = torch.tensor([wide - 1, high - 1])
        inside = ((place >= 0) & (place <= last)).all(3)
        return F.grid_sample(x, 2 * place / last - 1, align_corners=True) * inside[:, None]

    hold("Warp", "", [(2, channels, high, wide), (2, 2, high, wide)], seed, moved)


@cases(15)
@given(SEEDS, SIZE, SIZE, st.sampled_from([0.5, 1.0, 3.0]))
def test_errors_near_zero_are_smooth(seed: int, count: int, values: int, sigma: float) -> None:
    shape = (count, values, 2)

    def loss(a: Any, b: Any) -> Any:
        return F.smooth_l1_loss(a, b, reduction="sum", beta=1 / sigma**2) / count

    hold("SmoothL1Loss", f"smooth_l1_loss_param {{ sigma: {sigma} }}", [shape, shape], seed, loss)
