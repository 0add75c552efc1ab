"""Binding by layer name: legacy shapes, shared blobs, and errors that say what was wanted and found."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import BindingError
from caffezoo.formats.caffemodel import Blob, LayerBlobs, WeightsFile
from caffezoo.net.binding import bind
from caffezoo.net.graph import Network

NET = Network.from_text("""
input: "data" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 5 bias_term: false } }
""", path="net.prototxt")  # fmt: skip


def weights_file(**layers: list[Blob]) -> WeightsFile:
    return WeightsFile("w.caffemodel", "caffemodel", tuple(LayerBlobs(n, "", tuple(b)) for n, b in layers.items()), ())


def blob(*shape: int, legacy: bool = False) -> Blob:
    return Blob(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), legacy)


def test_blobs_bind_by_name_and_unused_layers_are_reported() -> None:
    bound = bind(NET, weights_file(b=[blob(5, 48)], a=[blob(3, 2, 1, 1), blob(3)], loss1=[blob(7)]))
    assert [w.shape for w in bound.weights["a"]] == [(3, 2, 1, 1), (3,)]
    assert bound.unused == ("loss1",)
    assert "loss1" in bound.notes[0]


def test_legacy_shapes_keep_their_element_order() -> None:
    bound = bind(NET, weights_file(a=[blob(3, 2, 1, 1), blob(1, 1, 1, 3, legacy=True)],
                                   b=[blob(1, 1, 5, 48, legacy=True)]))  # fmt: skip
    assert bound.weights["b"][0].shape == (5, 48)
    assert bound.weights["b"][0][1, 0] == 48
    assert bound.notes == ()


def test_a_convolution_saved_for_a_product_is_taken_with_a_note() -> None:
    bound = bind(NET, weights_file(a=[blob(3, 2, 1, 1), blob(3)], b=[blob(5, 3, 4, 4)]))
    assert bound.weights["b"][0].shape == (5, 48)
    assert "[5, 3, 4, 4]" in bound.notes[0]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"a": [blob(3, 2, 1, 1), blob(3)]}, r"'b' \(InnerProduct\): blob 0 of shape \[5, 48\] is missing"),
        ({"a": [blob(3, 2, 1, 1)], "b": [blob(5, 48)]}, r"'a'.*blob 1 of shape \[3\] is missing: the file has 1"),
        ({"a": [blob(3, 2, 3, 3), blob(3)], "b": [blob(5, 48)]}, r"shape \[3, 2, 3, 3\], wanted \[3, 2, 1, 1\]"),
        ({"a": [blob(3, 2, 1, 1), blob(3)], "b": [blob(5, 48), blob(5)]}, r"'b'.*wants 1 blob\(s\), the file has 2"),
        ({"x": [blob(1)]}, r"1 more layers do not fit.*another network"),
    ],
)
def test_what_does_not_fit_is_refused(layers: dict[str, list[Blob]], message: str) -> None:
    with pytest.raises(BindingError, match=message):
        bind(NET, weights_file(**layers))


def test_shared_blobs_come_from_the_first_layer_that_has_them() -> None:
    text = """
    input: "data" input_dim: 1 input_dim: 4 input_dim: 1 input_dim: 1
    layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
            inner_product_param { num_output: 4 bias_term: false } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
            inner_product_param { num_output: 4 bias_term: false } }
    """
    bound = bind(Network.from_text(text), weights_file(a=[blob(4, 4)]))
    assert bound.weights["b"][0] is bound.weights["a"][0]
