"""Prototxts that ask for too much: one line of the error tree each, before anything of that size is made."""

from __future__ import annotations

import tracemalloc

import pytest

from caffezoo.errors import NetworkError, PrototxtError, ZooError
from caffezoo.net.graph import Network
from caffezoo.net.layer import Layer
from caffezoo.net.load_options import LoadOptions
from caffezoo.net.node import MAX_BLOB_VALUES

DATA = 'input: "data" input_shape { dim: 1 dim: 3 dim: 32 dim: 32 }'
MOST_BYTES = 64 << 20


def _on_image(kind: str, param: str) -> str:
    return f'{DATA} layer {{ name: "l" type: "{kind}" bottom: "data" top: "y" {param} }}'


def _on(shapes: dict[str, str], kind: str, param: str) -> str:
    inputs = " ".join(
        f'input: "{name}" input_shape {{ {" ".join(f"dim: {d}" for d in dims.split())} }}'
        for name, dims in shapes.items()
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in shapes)
    return f'{inputs} layer {{ name: "l" type: "{kind}" {bottoms} top: "y" {param} }}'


ROIS = {"x": "1 3 8 8", "rois": "1 5"}
TOO_MUCH = {
    "kernels by the billion": (
        _on_image("Convolution", "convolution_param { num_output: 4000000000 kernel_size: 1 }"),
        "top 0 would",
    ),
    "products by the billion": (
        _on_image("InnerProduct", "inner_product_param { num_output: 2000000 }"),
        "blob 0 would hold 6144000000",
    ),
    "tiles by the billion": (_on_image("Tile", "tile_param { tiles: 2000000000 }"), "top 0 would"),
    "a stride of a billion": (
        _on_image("Deconvolution", "convolution_param { num_output: 1 kernel_size: 1 stride: 1000000000 }"),
        "top 0 would",
    ),
    "a window of a billion": (_on_image("Pooling", "pooling_param { kernel_size: 4000000000 }"), "does not fit 32 px"),
    "a pad as large as its window": (
        _on_image("Pooling", "pooling_param { kernel_size: 40000 stride: 1 pad: 39999 }"),
        "top 0 would",
    ),
    "a pyramid of sixty storeys": (_on_image("SPP", "spp_param { pyramid_height: 60 }"), "must lie within"),
    "a zoom of a million": (_on_image("Interp", "interp_param { zoom_factor: 1000000 }"), "top 0 would"),
    "a scale of a hundred thousand": (_on_image("Upsample", "upsample_param { scale: 100000 }"), "top 0 would"),
    "a dictionary of the world": (
        _on_image("Embed", "embed_param { input_dim: 4000000000 num_output: 4000000000 }"),
        "would hold",
    ),
    "places by the billion": (_on_image("ArgMax", "argmax_param { top_k: 1000000000 }"), "top_k 1000000000"),
    "a map of a million square": (
        _on_image("Resample", "resample_param { width: 1000000 height: 1000000 }"),
        "top 0 would",
    ),
    "a border of a million": (_on_image("Padding", "padding_param { pad: 1000000 }"), "top 0 would"),
    "axes beyond 64 bits": (
        _on_image("Reshape", f"reshape_param {{ shape {{ dim: {2**63 - 1} dim: {2**63 - 1} }} }}"),
        "has 3072 values",
    ),
    "transitions by the billion": (
        _on_image("DenseBlock", "denseblock_param { numTransition: 2000000000 initChannel: 3 growthRate: 9 }"),
        "numTransition",
    ),
    "classes by the billion": (
        _on_image("Region", "region_param { classes: 1000000000 num: 1000000000 }"),
        "takes 1000000005000000000 channels",
    ),
    "displacements by the million": (
        _on(
            {"a": "1 3 8 8", "b": "1 3 8 8"},
            "Correlation",
            "correlation_param { pad: 4000000 kernel_size: 1 max_displacement: 4000 }",
        ),
        "displacements .*are more than",
    ),
    "shifted by four million": (
        _on(
            {"a": "1 3 8 8", "b": "1 3 8 8"},
            "Correlation",
            "correlation_param { pad: 4000000 kernel_size: 1 max_displacement: 20 }",
        ),
        "top 0 would",
    ),
    "bins by the billion": (
        _on(ROIS, "ROIPooling", "roi_pooling_param { spatial_scale: 1 pooled_h: 1000000 pooled_w: 1000000 }"),
        "top 0 would",
    ),
    "groups by the million": (
        _on(ROIS, "PSROIPooling", "psroi_pooling_param { spatial_scale: 1 output_dim: 1000000 group_size: 1000000 }"),
        "channels",
    ),
    "priors by the million": (
        _on({"x": "1 3 2000 2000", "image": "1 3 300 300"}, "PriorBox", "prior_box_param { min_size: 9 min_size: 10 }"),
        "4000000 together",
    ),
    "a million steps": (
        _on({"x": "1000000 1 2", "cont": "1000000 1"}, "LSTM", "recurrent_param { num_output: 2 }"),
        "65536 that are unrolled",
    ),
    "an input of the whole address space": (
        f'layer {{ name: "l" type: "Input" top: "y" input_param {{ shape {{ dim: {2**62} dim: {2**62} }} }} }}',
        "top 0 would",
    ),
    "a parameter larger than memory": (
        'layer { name: "l" type: "Parameter" top: "y" parameter_param { shape { dim: 4000000000 dim: 4000000000 } } }',
        "would hold",
    ),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_asks_for_too_much_is_refused_in_one_line(name: str) -> None:
    text, message = TOO_MUCH[name]
    tracemalloc.start()
    try:
        with pytest.raises(NetworkError, match=message) as caught:
            Network.from_text(text, path="net.prototxt")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    said = str(caught.value)
    assert said.startswith("net.prototxt:1: layer 'l' (")
    assert "\n" not in said
    assert len(said) < 400
    assert peak < MOST_BYTES


def test_blobs_that_double_end_at_the_size_that_caffe_counts_to() -> None:
    layers = "".join(
        f'layer {{ name: "c{i}" type: "Concat" bottom: "d{i}" bottom: "d{i}" top: "d{i + 1}" }}\n' for i in range(200)
    )
    with pytest.raises(NetworkError, match=rf"layer 'c19' .*top 0 would .*{MAX_BLOB_VALUES} at most"):
        Network.from_text((DATA + layers).replace('"d0"', '"data"'))


@pytest.mark.parametrize("depth", [100, 100_000])
@pytest.mark.parametrize("kind", ["Convolution", "Unknown"])
def test_messages_nest_to_a_bound(depth: int, kind: str) -> None:
    inner = "a { " * depth + "} " * depth
    with pytest.raises(PrototxtError, match="nest more than") as caught:
        Network.from_text(_on_image(kind, f"some_param {{ {inner} }}"))
    assert len(str(caught.value)) < 400


def test_many_layers_and_many_tops_are_only_many() -> None:
    many = 2000
    tops, bottoms = (" ".join(f'{side}: "t{i}"' for i in range(many)) for side in ("top", "bottom"))
    network = Network.from_text(
        f'{DATA} layer {{ name: "s" type: "Split" bottom: "data" {tops} }}'
        f'layer {{ name: "c" type: "Concat" {bottoms} top: "y" }}'
        + "".join(f'layer {{ name: "l{i}" type: "ReLU" bottom: "y" top: "y" }}' for i in range(many))
    )
    assert network.shape("y") == (1, 3 * many, 32, 32)


def test_a_given_shape_is_bounded_too() -> None:
    with pytest.raises(ZooError, match="holds more than"):
        LoadOptions.of({"data": (2**40, 2**40)})


def test_a_layer_of_ones_own_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from caffezoo.net import registry

    class Vast(Layer):
        """A learned blob of 2^40 values."""

        def blob_shapes(self, bottoms: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
            return [(2**20, 2**20)]

    registry.layer_types()
    monkeypatch.setattr(registry, "_REGISTRY", {**registry._REGISTRY, "Vast": Vast})
    with pytest.raises(NetworkError, match=r"layer 'l' \(Vast\): blob 0 would hold 1099511627776"):
        Network.from_text(_on_image("Vast", ""))
