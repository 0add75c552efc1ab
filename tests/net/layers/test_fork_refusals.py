"""What layers of forks refuse, in one line that names the layer."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import LoweringError, ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.oracle import layer_proto, one_layer_net

IMAGE = (2, 3, 6, 8)


def _network(kind: str, param: str, *shapes: tuple[int, ...], tops: str = "y") -> Network:
    bottoms = {f"x{i}": shape for i, shape in enumerate(shapes)}
    ports = [*(f'bottom: "{name}"' for name in bottoms), *(f'top: "{top}"' for top in tops.split())]
    return Network.from_proto(
        one_layer_net(layer_proto(f'name: "l" type: "{kind}" {" ".join(ports)} {param}'), bottoms)
    )


@pytest.mark.parametrize(
    ("kind", "param", "shapes", "message"),
    [
        ("Warp", "warp_param { outliers: NEAREST }", [IMAGE, (2, 2, 6, 8)], "NEAREST is not supported"),
        ("Warp", "", [IMAGE, (2, 2, 3, 4)], "a flow of two channels for each pixel"),
        ("SpatialTransformer", "st_param { transform_type: 'grid' }", [IMAGE, (2, 96)], "grid map .* not supported"),
        ("SpatialTransformer", "st_param { transform_type: 'projective' }", [IMAGE, (2, 6)], "8 values a sample"),
        (
            "SpatialTransformer",
            "st_param { transform_type: 'projective' output_H: 1 }",
            [IMAGE, (2, 8)],
            "2 x 2 pixels at least",
        ),
        (
            "SpatialTransformer",
            "st_param { transform_type: 'translation' }",
            [IMAGE, (2, 2)],
            "theta_1_1 and theta_2_2",
        ),
        ("Resample", "resample_param { type: AREA width: 3 height: 3 }", [IMAGE], "NEAREST, LINEAR or CUBIC"),
        ("Downsample", "downsample_param { top_height: 1 top_width: 3 }", [IMAGE], "2 x 2 pixels at least"),
        ("Downsample", "", [IMAGE], "2 x 2 pixels at least"),
        ("ChannelNorm", "", [(2, 3)], "a map with 4 axes"),
        (
            "BatchReduction",
            "batch_reduction_param { level: 1 level: 2 reduction_param { axis: 1 } }",
            [IMAGE],
            "levels take 5 places, axis 1 has 3",
        ),
        ("BatchReduction", "batch_reduction_param { reduction_param { operation: ASUM } }", [IMAGE], "SUM or MEAN"),
        ("LabelSpecificAdd", "", [(4, 3), (3,)], "one label a sample"),
        ("MarginInnerProduct", "", [(4, 3), (4,)], "num_output must be positive"),
        (
            "MarginInnerProduct",
            "margin_inner_product_param { num_output: 2 base: 1 gamma: -1 power: 1 }",
            [(4, 3), (4,)],
            "give no lambda",
        ),
        ("SmoothL1LossOHEM", "", [(4, 3), (4, 2)], "bottoms of one shape"),
        ("LSTMUnit", "", [(1, 2, 3), (1, 2, 9), (1, 2)], "takes a cell"),
    ],
)
def test_refusals(kind: str, param: str, shapes: list[tuple[int, ...]], message: str) -> None:
    tops = "y z" if kind == "LSTMUnit" else "y"
    with pytest.raises(ShapeError, match=rf"layer 'l' \({kind}\): .*{message}") as caught:
        to_onnx(_with_weights(_network(kind, param, *shapes, tops=tops)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("", "say hypercolumns_param { is_train: false }"),
        ("hypercolumns_param { is_train: true }", "draws pixels at random"),
        ("hypercolumns_param { is_train: false }", "does not cover"),
    ],
)
def test_hypercolumns_are_those_of_every_pixel(param: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        _network("HyperColumns", param, IMAGE, (2, 4, 12, 16), tops="y z")


def test_a_margin_is_not_trained() -> None:
    pytest.importorskip("torch")
    from caffezoo.net.torch_module import to_torch

    param = "phase: TRAIN margin_inner_product_param { num_output: 2 type: %s }"
    to_torch(_with_weights(_network("MarginInnerProduct", param % "SINGLE", (4, 3), (4,))))
    with pytest.raises(LoweringError, match="training through its margin"):
        to_torch(_with_weights(_network("MarginInnerProduct", param % "DOUBLE", (4, 3), (4,))))


def _with_weights(network: Network) -> Network:
    blobs = {n.key: [np.ones(s, np.float32) for s in n.blob_shapes] for n in network.nodes if n.blob_shapes}
    return network.with_weights(blobs)
