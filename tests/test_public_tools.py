"""The tool that runs collections of public files: shapes by trying, and its page."""

from __future__ import annotations

from types import ModuleType

import pytest

from caffezoo.errors import ShapeError
from caffezoo.formats.phases import filter_net
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.net.graph import Network
from tests.test_tools import load


@pytest.fixture(scope="module")
def shapes() -> ModuleType:
    return load("public_shapes")


@pytest.fixture(scope="module")
def networks() -> ModuleType:
    return load("public_networks")


def found(shapes: ModuleType, text: str) -> Network:
    prototxt = filter_net(parse_prototxt(text, "net.prototxt"))
    with pytest.raises(ShapeError) as first:
        Network(prototxt)
    network = shapes.given_by_trying(prototxt, first.value)
    assert isinstance(network, Network)
    return network


LANDMARKS = """
layer { name: "data" type: "HDF5Data" top: "data" top: "labels" hdf5_data_param { source: "absent" batch_size: 9 } }
layer { name: "slice" type: "Slice" bottom: "labels" top: "label" top: "box" top: "points"
        slice_param { axis: 1 slice_point: 1 slice_point: 5 } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "fd" type: "InnerProduct" bottom: "data" top: "fd" inner_product_param { num_output: 10 } }
layer { name: "l" type: "EuclideanLoss" bottom: "fc" bottom: "box" top: "l" }
layer { name: "m" type: "EuclideanLoss" bottom: "fd" bottom: "points" top: "m" }
layer { name: "s" type: "Silence" bottom: "label" }
"""


def test_labels_are_as_wide_as_what_they_are_cut_into(shapes: ModuleType) -> None:
    assert found(shapes, LANDMARKS).inputs["labels"] == (2, 15)


def test_what_the_file_says_is_not_guessed(shapes: ModuleType) -> None:
    network = found(
        shapes,
        """
        layer { name: "data" type: "ImageData" top: "data" top: "label"
                image_data_param { source: "absent" batch_size: 3 new_height: 40 new_width: 40 } }
        layer { name: "marks" type: "HDF5Data" top: "marks" hdf5_data_param { source: "absent" batch_size: 3 } }
        layer { name: "r" type: "Reshape" bottom: "marks" top: "r" reshape_param { shape { dim: 3 dim: 1 } } }
        layer { name: "s" type: "Silence" bottom: "data" bottom: "label" bottom: "r" }""",
    )
    assert network.inputs["data"] == (3, 3, 40, 40)
    assert network.inputs["marks"][0] == 3


def test_what_fits_no_shape_keeps_its_refusal(shapes: ModuleType) -> None:
    text = """
    layer { name: "data" type: "HDF5Data" top: "data" hdf5_data_param { source: "absent" batch_size: 3 } }
    layer { name: "c" type: "Slice" bottom: "data" top: "c" top: "d" slice_param { slice_point: 1 slice_point: 2 } }"""
    with pytest.raises(ShapeError, match="layer 'c'"):
        found(shapes, text)


def test_the_page_tells_why(networks: ModuleType) -> None:
    results = {
        "1/net.prototxt": {"state": "agrees", "judge": "Caffe", "kind": "faces", "why": "", "commit": "abc"},
        "2/net.prototxt": {"state": "refused", "kind": "faces", "why": "2: layer 'x' (Python): ...", "own": ["mine"]},
        "3/net.prototxt": {
            "state": "refused",
            "kind": "faces",
            "why": "3/net.prototxt:7: layer 'x': unknown layer type 'Z'",
        },
        "4/net.prototxt": {"state": "no network", "kind": "faces", "why": "4/net.prototxt:7: layer 'x' (Slice): no"},
    }
    page = networks.markdown(results)
    assert "| faces | 4 | 1 | 0 | 0 | 2 | 0 | 1 | 33 % | 1 | 50 % |" in page
    assert "Run at commits abc (1 files), earlier ones (3 files)." in page
    for line in ("- the author's Python module mine: 1", "- layer type Z: 1", "- (Slice): no: 1"):
        assert line in page.splitlines()
