"""FlowNet 2's layers where they depend on their blobs, take nothing, or are refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from caffezoo.errors import ZooError
from caffezoo.formats.blobs import Blob, LayerBlobs, WeightsFile
from caffezoo.net.binding import bind
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.net.layers.flow_cases import along_rows, counted
from tests.oracle import assert_close, layer_proto, one_layer_net, onnx_outputs

SHAPE = (2, 3, 4, 5)


def network(text: str, *shapes: Sequence[int]) -> Network:
    """Return a layer with bottoms x0, x1 ... as a network."""
    bottoms = {f"x{i}": tuple(shape) for i, shape in enumerate(shapes)}
    named = " ".join(f"bottom: '{name}'" for name in bottoms)
    return Network.from_proto(one_layer_net(layer_proto(f"name: 'd' {named} {text}"), bottoms))


@pytest.mark.parametrize("seen", [0, 2, 9])
@pytest.mark.parametrize("per_pixel", [True, False])
def test_a_mean_counts_the_batch_at_hand_only_while_it_is_computed(seen: int, per_pixel: bool) -> None:
    torch = pytest.importorskip("torch")
    from caffezoo.net.torch_module import to_torch

    rng = np.random.default_rng(seen)
    param = f"augmentation_param {{ recompute_mean: 5 mean_per_pixel: {str(per_pixel).lower()} }}"
    net = network(f"type: 'DataAugmentation' top: 'y' {param}", SHAPE)
    blobs = [np.full((1, 1, 1, 1), seen, np.float32)]
    blobs += [rng.standard_normal(s).astype(np.float32) for s in [(1, 3, 4, 5), (1, 3, 1, 1)]]
    x = rng.standard_normal(SHAPE).astype(np.float32)
    net = net.with_weights({net.nodes[-1].key: blobs})
    wanted = counted(5, per_pixel)([x], blobs)[0]
    for runtime, found in onnx_outputs(to_onnx(net), {"x0": x}).items():
        assert_close(found["y"], wanted, runtime)
    with torch.no_grad():
        assert_close(to_torch(net, outputs=["y"])(torch.from_numpy(x))["y"].numpy(), wanted, "torch")


def test_a_mean_of_images_of_another_size_becomes_one_of_places() -> None:
    net = network("type: 'DataAugmentation' top: 'y' augmentation_param { recompute_mean: 5 }", SHAPE)
    rng = np.random.default_rng(0)
    mean = rng.standard_normal((1, 3, 6, 7)).astype(np.float32)
    rest = [np.full((1, 1, 1, 1), 9, np.float32), rng.standard_normal((1, 3, 1, 1)).astype(np.float32)]
    file = WeightsFile(
        "f",
        "caffemodel",
        (LayerBlobs("d", "DataAugmentation", tuple(Blob(b, False) for b in (rest[0], mean, rest[1]))),),
        (),
    )
    bound = bind(net.nodes, file)
    wanted = np.broadcast_to(mean.mean((2, 3), keepdims=True), (1, 3, 4, 5))
    np.testing.assert_allclose(bound.weights[net.nodes[-1].key][1], wanted, rtol=1e-6)


def test_displacements_to_the_left_lie_one_step_further() -> None:
    param = "pad: 6 kernel_size: 1 max_displacement: 4 stride_1: 1 stride_2: 2 single_direction: -1"
    net = network(f"type: 'Correlation1D' top: 'y' correlation_param {{ {param} }}", SHAPE, SHAPE)
    rng = np.random.default_rng(0)
    inputs = {f"x{i}": rng.standard_normal(SHAPE).astype(np.float32) for i in range(2)}
    # more padding, and the columns of the greater pad left out again: the formula never reads before its map
    wide = along_rows(8, 1, 6, 1, 2, 0)([*inputs.values()], [])[0]
    wanted = wide[:, :3]
    for runtime, found in onnx_outputs(to_onnx(net), inputs).items():
        assert_close(found["y"], wanted, runtime)


def test_the_gradient_of_a_warping_is_the_central_difference_of_what_it_gives() -> None:
    torch = pytest.importorskip("torch")
    from caffezoo.net.torch_module import to_torch

    shape = (2, 1, 4, 5)
    module = to_torch(network("type: 'Warping' top: 'y'", SHAPE, shape, shape), outputs=["y"]).train()
    rng = np.random.default_rng(0)
    x, u, v, share = (torch.from_numpy(rng.standard_normal(s).astype(np.float32)) for s in (SHAPE, shape, shape, SHAPE))
    u.requires_grad_()
    v.requires_grad_()
    y = module(x, u, v)["y"]
    (y * share).sum().backward()
    y = y.detach().numpy()
    across, down = np.zeros(shape), np.zeros(shape)
    for n, i, j in np.ndindex(2, 4, 5):
        if 0 < j < 4:
            across[n, 0, i, j] = (share[n, :, i, j].numpy() * (y[n, :, i, j + 1] - y[n, :, i, j - 1])).sum() / 2
        if 0 < i < 3:
            down[n, 0, i, j] = (share[n, :, i, j].numpy() * (y[n, :, i + 1, j] - y[n, :, i - 1, j])).sum() / 2
    assert_close(u.grad.numpy(), across, "u")
    assert_close(v.grad.numpy(), down, "v")


def test_writers_take_bottoms_and_give_nothing() -> None:
    for kind in ("FLOWriter", "ImgWriter", "FloatWriter", "PFMWriter"):
        text = f"type: '{kind}' writer_param {{ folder: 'out' prefix: 'a' suffix: '.flo' }}"
        assert network(text, (1, 2, 3, 4)).nodes[-1].top_shapes == ()


@pytest.mark.parametrize(
    "text",
    [
        "type: 'DataAugmentation' phase: TRAIN top: 'y'",
        "type: 'DataAugmentation' top: 'y' augmentation_param { augment_during_test: true zoom { prob: 1 } }",
        "type: 'DataAugmentation' top: 'y' augmentation_param { crop_width: 9 crop_height: 2 }",
        "type: 'Mean' top: 'y' mean_param { operation: 'ADD' file: 'm.binaryproto' }",
        "type: 'Mean' top: 'y' mean_param { operation: 'ADD' value: 1 value: 2 }",
        "type: 'Accum' top: 'y' accum_param { have_reference: true }",
        "type: 'LpqLoss' top: 'y' lpq_loss_param { p: 1 }",
        "type: 'LpqLoss' top: 'y' lpq_loss_param { p: 1 q: 1 pq_episode_starts_at_iter: 3 }",
    ],
)
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(ZooError, match="layer 'd'"):
        network(text, SHAPE)
