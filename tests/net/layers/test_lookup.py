"""Embed, BatchReindex, Filter, Parameter, Im2col and SPP against real Caffe over drawn shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import SEEDS, arrays, cases, shapes
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe


def text(kind: str, bottoms: str, param: str = "", tops: str = "y") -> str:
    blobs = "".join(f' bottom: "{b}"' for b in bottoms) + "".join(f' top: "{t}"' for t in tops.split())
    return f'name: "l" type: "{kind}"{blobs} {param}'


@requires_caffe
@cases(15)
@given(shapes(1, 3), st.integers(1, 9), st.integers(1, 5), st.booleans(), SEEDS)
def test_embed(shape: tuple[int, ...], rows: int, width: int, bias: bool, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, rows, shape).astype(np.float32)
    param = f"embed_param {{ input_dim: {rows} num_output: {width} bias_term: {str(bias).lower()} }}"
    assert assert_layer_matches_caffe(text("Embed", "x", param), {"x": x}) == "matched"


@requires_caffe
@cases(15)
@given(shapes(1, 4), st.integers(1, 6), SEEDS)
def test_batch_reindex(shape: tuple[int, ...], count: int, seed: int) -> None:
    inputs = arrays({"x": shape, "i": (count,)}, seed)
    inputs["i"] = np.random.default_rng(seed).integers(0, shape[0], count).astype(np.float32)
    assert assert_layer_matches_caffe(text("BatchReindex", "xi"), inputs, batch_free=False) == "matched"


@requires_caffe
@cases(15)
@given(shapes(1, 3), SEEDS)
def test_filter(shape: tuple[int, ...], seed: int) -> None:
    inputs = arrays({"x": shape, "z": shape[:1], "s": shape[:1]}, seed)
    inputs["s"] = (inputs["s"] > 0).astype(np.float32)
    inputs["s"][-1] = 1
    layer = text("Filter", "xzs", tops="y w")
    assert assert_layer_matches_caffe(layer, inputs, batch_free=False, bound=True) == "matched"


@requires_caffe
@cases(20)
@given(shapes(4, 4, 9), st.tuples(*[st.integers(1, 3)] * 4), st.integers(0, 2), st.integers(1, 2), SEEDS)
def test_im2col(shape: tuple[int, ...], window: tuple[int, ...], pad: int, dilation: int, seed: int) -> None:
    h, w, down, right = window
    param = f"kernel_h: {h} kernel_w: {w} stride_h: {down} stride_w: {right} pad: {pad} dilation: {dilation}"
    layer = text("Im2col", "x", f"convolution_param {{ {param} }}")
    assert_layer_matches_caffe(layer, arrays({"x": shape}, seed))


@requires_caffe
@cases(20)
@given(shapes(4, 4, 12), st.integers(1, 4), st.sampled_from(["MAX", "AVE"]), SEEDS)
def test_spatial_pyramids(shape: tuple[int, ...], height: int, pool: str, seed: int) -> None:
    layer = text("SPP", "x", f"spp_param {{ pyramid_height: {height} pool: {pool} }}")
    assert_layer_matches_caffe(layer, arrays({"x": shape}, seed))


@pytest.mark.parametrize("height", [0, 30])
def test_a_pyramid_of_absurd_height_is_refused(height: int) -> None:
    layer = make_layer(layer_proto(text("SPP", "x", f"spp_param {{ pyramid_height: {height} }}")))
    with pytest.raises(ShapeError, match=f"pyramid_height {height} must lie within"):
        layer.top_shapes([(1, 2, 8, 8)])


def test_what_is_written_to_a_file_is_no_output() -> None:
    network = Network.from_text(
        """input: "x" input_shape { dim: 2 dim: 3 }
        layer { name: "file" type: "HDF5Output" bottom: "x" hdf5_output_param { file_name: "never-written.h5" } }"""
    )
    assert network.outputs == ()
