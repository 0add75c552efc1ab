"""Metal's weight files: bytes against an order written out by hand, names, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import LoweringError, UsageError, WeightsFileError
from caffezoo.net.exports.metal import compare_metal, export_metal, metal_layers
from caffezoo.net.folding import fold
from caffezoo.net.graph import Network

NET = """
input: "data" input_shape { dim: 1 dim: 4 dim: 6 dim: 6 }
layer { name: "a/conv" type: "Convolution" bottom: "data" top: "a"
        convolution_param { num_output: 6 kernel_h: 2 kernel_w: 3 group: 2 bias_term: false } }
layer { name: "up" type: "Deconvolution" bottom: "a" top: "up"
        convolution_param { num_output: 4 kernel_size: 2 group: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "up" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "last" type: "InnerProduct" bottom: "fc" top: "last"
        inner_product_param { num_output: 2 transpose: true } }
"""


@pytest.fixture
def network() -> Network:
    net = Network.from_text(NET)
    draw = np.random.default_rng(3)
    return net.with_weights(
        {n.name: [draw.normal(size=s).astype(np.float32) for s in n.blob_shapes] for n in net.nodes}
    )


def by_hand(network: Network) -> dict[str, np.ndarray]:
    """Every value at its place, one by one."""
    w = network.weights
    conv = w["a/conv"][0]
    grouped = np.empty((6, 2, 3, 2), np.float32)
    for o, y, x, i in np.ndindex(grouped.shape):
        grouped[o, y, x, i] = conv[o, i, y, x]
    up, deconvolution = np.empty((4, 2, 2, 3), np.float32), w["up"][0]
    for o, y, x, i in np.ndindex(up.shape):
        up[o, y, x, i] = deconvolution[(o // 2) * 3 + i, o % 2, y, x]
    _, channels, height, width = network.node("fc").bottom_shapes[0]
    full, product = np.empty((3, height, width, channels), np.float32), w["fc"][0]
    for o, y, x, i in np.ndindex(full.shape):
        full[o, y, x, i] = product[o, (i * height + y) * width + x]
    return {
        "weights_a_conv": grouped,
        "bias_a_conv": np.zeros(6, np.float32),
        "weights_up": up,
        "bias_up": w["up"][1],
        "weights_fc": full,
        "bias_fc": w["fc"][1],
        "weights_last": w["last"][0].T,
        "bias_last": w["last"][1],
    }


def test_files_hold_the_values_in_metals_order(network: Network, tmp_path: Path) -> None:
    files = export_metal(network, tmp_path / "out")
    wanted = by_hand(network)
    assert [file.name for file in files] == [f"{name}.dat" for name in wanted]
    for file in files:
        assert file.read_bytes() == np.ascontiguousarray(wanted[file.stem], "<f4").tobytes()


def test_a_folder_compares_with_what_it_was_made_of(network: Network, tmp_path: Path) -> None:
    export_metal(network, tmp_path / "out")
    assert [delta.largest for delta in compare_metal(network, tmp_path / "out")] == [0.0] * 4
    file = tmp_path / "out" / "bias_fc.dat"
    np.fromfile(file, "<f4").__add__(np.float32(0.25)).tofile(file)
    (tmp_path / "out" / "weights_up.dat").unlink()
    lines = [str(delta) for delta in compare_metal(network, tmp_path / "out")]
    assert lines == [
        "a_conv                                   [max delta: w=0.000000 b=0.000000]",
        "up                                      ",
        "fc                                       [max delta: w=0.000000 b=0.250000]",
        "last                                     [max delta: w=0.000000 b=0.000000]",
    ]


def test_a_file_of_another_size(network: Network, tmp_path: Path) -> None:
    export_metal(network, tmp_path / "out")
    (tmp_path / "out" / "bias_fc.dat").write_bytes(b"\0" * 11)
    with pytest.raises(WeightsFileError, match=r"bias_fc\.dat: has 11 bytes, wanted are 12"):
        list(compare_metal(network, tmp_path / "out"))


def test_a_folder_that_is_there_is_left_alone(network: Network, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        export_metal(network, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_names(network: Network) -> None:
    assert [layer.name for layer in metal_layers(network, ("a", "b", "c", "d"))] == ["a", "b", "c", "d"]
    with pytest.raises(LoweringError, match="has 4 layers with weights, 2 names are given"):
        list(metal_layers(network, ("a", "b")))
    with pytest.raises(LoweringError, match="two layers would have files of one name"):
        list(metal_layers(network, ("a", "b", "a", "d")))


def test_an_unfolded_scale_has_no_place() -> None:
    net = Network.from_text(
        'input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }\n'
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n'
        'layer { name: "norm" type: "BatchNorm" bottom: "relu" top: "norm" }\n'
    )
    net = net.with_weights({"norm": [np.ones(s, np.float32) for s in ((3,), (3,), (1,))]})
    with pytest.raises(LoweringError, match=r"'norm' \(Scale\): has weights and is no convolution") as caught:
        list(metal_layers(fold(net).network))
    assert caught.value.hint
