"""The generator against the published counts, and the zero-extended kernels against TensorFlow's 'same' rule."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.net.graph import Network
from caffezoo.zoo.architectures.efficientnet_lite import VARIANTS, blocks, build, scaled_channels, torch_map
from caffezoo.zoo.architectures.registry import architectures
from caffezoo.zoo.resources import data_root
from caffezoo.zoo.tensor_map import find_tensor_map, zero_extended

# Elements of all weights and statistics in the published state dicts (counters left out), read from the files.
TORCH_ELEMENTS = {"efficientnet-lite0": 4_694_024, "efficientnet-lite1": 5_470_344, "efficientnet-lite2": 6_150_168}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_committed_prototxt_is_the_generators(name):
    path = f"prototxt/efficientnet-lite/deploy_{name}.prototxt"
    assert (data_root() / path).read_text() == architectures()[path].build().to_prototxt()


@pytest.mark.parametrize("name", VARIANTS)
def test_blobs_are_the_published_tensors(name):
    net = Network.from_proto(build(name).net)
    extended = {
        layer: source.changes[-1] is zero_extended
        for layer, sources in torch_map(name).layers.items()
        for source in sources
        if source.changes
    }
    count = 0
    for node in net.nodes:
        for shape in node.blob_shapes:
            if node.layer.type == "BatchNorm" and shape == (1,):
                continue
            smaller = extended.get(node.name, False) and len(shape) == 4
            count += int(np.prod([*shape[:2], shape[2] - 1, shape[3] - 1] if smaller else shape))
    assert count == TORCH_ELEMENTS[name]
    assert set(torch_map(name).layers) == {n.name for n in net.nodes if n.blob_shapes}
    assert find_tensor_map(name, "torch").fingerprint == torch_map(name).fingerprint


@pytest.mark.parametrize(
    ("name", "odd"), [("efficientnet-lite0", 0), ("efficientnet-lite1", 1), ("efficientnet-lite2", 3)]
)
def test_every_stride_has_the_form_of_its_size(name, odd):
    """TensorFlow pads total = max((ceil(H / 2) - 1) * 2 + k - H, 0), the smaller half before."""
    variant, seen_odd = VARIANTS[name], 0
    shapes = {n.name: n for n in Network.from_proto(build(name).net).nodes}
    strides = [("stem_conv", 3, variant.input_px)]
    strides += [(f"{b.name}_dw", b.kernel, b.size_px) for b in blocks(variant) if b.stride == 2]
    assert len(strides) == 5
    for layer, kernel, size in strides:
        node = shapes[layer]
        assert node.bottom_shapes[0][2:] == (size, size)
        total = max((-(-size // 2) - 1) * 2 + kernel - size, 0)
        before, behind = total // 2, total - total // 2
        found = node.layer.proto.convolution_param
        assert found.kernel_size[0] == kernel + behind - before
        assert found.pad[0] == behind
        assert node.top_shapes[0][2] == -(-size // 2)
        seen_odd += size % 2
    assert seen_odd == odd


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [8, 10, 14])
def test_zero_extension_is_tensorflows_same(kernel, size):
    rng = np.random.default_rng(size)
    image, weights = rng.normal(size=(size, size)), rng.normal(size=(1, 1, kernel, kernel))

    def convolve(padded: np.ndarray, w: np.ndarray) -> np.ndarray:
        views = np.lib.stride_tricks.sliding_window_view(padded, w.shape)[::2, ::2]
        return np.einsum("ijkl,kl->ij", views, w)

    before, behind = (kernel - 2) // 2, (kernel - 1) // 2
    same = convolve(np.pad(image, ((before, behind), (before, behind))), weights[0, 0])
    ours = convolve(np.pad(image, kernel // 2), zero_extended(weights)[0, 0])
    np.testing.assert_allclose(ours, same, atol=1e-12)


def test_channels_are_multiples_of_eight():
    """Counts of the published lite2 (width 1.1)."""
    assert [scaled_channels(c, 1.1) for c in (16, 24, 40, 80, 112, 192, 320)] == [16, 24, 48, 88, 120, 208, 352]
    assert all(scaled_channels(c, 1.0) == c for c in (16, 24, 40, 80, 112, 192, 320))
