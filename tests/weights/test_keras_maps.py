"""Every Keras map is complete, and its names, shapes and order are those of the source models.

keras_layers.json.xz holds the layers with weights of the source models, in the order of ``model.layers`` with the
shapes of their weights, as tools/record_parity_keras.py found them; docs/parity-keras.md says in which versions.
"""

from __future__ import annotations

import json
import lzma
import re
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffezoo.errors import BindingError
from caffezoo.formats.caffemodel import read_weights
from caffezoo.net.graph import Network
from caffezoo.weights.convert import convert_weights
from caffezoo.weights.fetch import fetch_network
from caffezoo.weights.schemes import choose_scheme, wanted_tensors
from caffezoo.zoo.architectures.registry import architectures
from caffezoo.zoo.index import load_index
from caffezoo.zoo.keras_builder import KerasBuilder
from caffezoo.zoo.keras_layers import grouped, model_order
from caffezoo.zoo.resources import data_root
from caffezoo.zoo.schema import Weights
from caffezoo.zoo.tensor_map import mapped_networks, tensor_maps

from . import tiny_network as tiny

Layers = list[tuple[str, list[list[int]]]]
RECORDED: dict[str, dict[str, Layers]] = json.loads(
    lzma.decompress((Path(__file__).parent / "keras_layers.json.xz").read_bytes())
)
ALL = {a.name: path for path, a in architectures().items() if path.startswith("prototxt/keras/")}
OTHERS = {"nsfwjs-inception-v3"}  # built of Keras' layers by others: tests of their own hold them
SCHEMES = [(n, s) for n in mapped_networks("keras") if n not in OTHERS for s in tensor_maps(n, "keras")]
RUN = [(package, network) for package, networks in RECORDED.items() for network in networks]


@cache
def network(name: str) -> Network:
    return Network.load(data_root() / ALL[name])


@cache
def built(name: str) -> KerasBuilder:
    return architectures()[ALL[name]].build()


def canonical(layers: Layers) -> Layers:
    """Count automatic names from 1 and write ``/`` as ``_``."""
    numbers: dict[str, list[int]] = {}
    for name, _ in layers:
        if match := re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", name):
            numbers.setdefault(match[1], []).append(int(match[2] or 0))
    new = {
        (f"{prefix}_{n}" if n else prefix): f"{prefix}_{i}"
        for prefix, found in numbers.items()
        for i, n in enumerate(sorted(found), 1)
    }
    return [(new.get(name, name).replace("/", "_"), shapes) for name, shapes in layers]


def test_every_network_has_a_map_and_a_recorded_source():
    assert set(mapped_networks("keras")) - OTHERS == set(ALL)
    assert {network for _, network in RUN} == set(ALL)


@pytest.mark.parametrize(("name", "scheme"), SCHEMES)
def test_every_blob_has_a_source(name, scheme):
    mapping = tensor_maps(name, "keras")[scheme]
    wanted = {node.name: len(node.blob_shapes) for node in network(name).nodes if node.blob_shapes}
    assert {layer: len(sources) for layer, sources in mapping.layers.items()} == wanted
    tensors = [s.tensor for sources in mapping.layers.values() for s in sources if s.tensor]
    assert len(tensors) == len(set(tensors))


@pytest.mark.parametrize(("package", "name"), RUN)
def test_order_of_the_model_is_keras(package, name):
    b = built(name)
    ordered = [layer.name.replace("/", "_") for layer in model_order(b.net, b.keras_layers, b.lengths)]
    recorded = [layer for layer, _ in canonical(RECORDED[package][name])]
    assert ordered[:-1] == recorded[:-1]  # the last is called otherwise in Keras 3


@pytest.mark.parametrize(("package", "name"), RUN)
def test_shapes_fit_the_network(package, name):
    b = built(name)
    shapes = {node.name: node.blob_shapes for node in network(name).nodes}
    ordered = model_order(b.net, b.keras_layers, b.lengths)
    for layer, (_, recorded) in zip(ordered, RECORDED[package][name], strict=True):
        found = []
        for caffe, sources in layer.blobs.items():
            for source, shape in zip(sources, shapes[caffe], strict=True):
                if source.tensor is not None:
                    found.append((source, shape))
        assert len(found) == len(recorded)
        for (source, shape), tensor_shape in zip(found, recorded, strict=True):
            tensor = np.broadcast_to(np.int8(0), tensor_shape)
            for change in source.changes:
                tensor = change(tensor)
            assert tensor.shape == shape, (layer.name, source.tensor)


@pytest.mark.parametrize(("package", "name"), RUN)
def test_channels_are_reversed_where_the_index_says_so(package, name):
    """Keras' 'caffe' mode is BGR and in grey levels; the other modes are RGB, and divide."""
    entry = load_index().network(name)
    mapping = tensor_maps(name, "keras")["keras-applications"]
    assert mapping.reads_rgb == (tuple(entry.preprocessing.std) != (1, 1, 1))
    np.testing.assert_allclose(mapping.conventions.mean, entry.preprocessing.mean, atol=0.02)
    np.testing.assert_allclose(mapping.conventions.std, entry.preprocessing.std, rtol=1e-3)


def test_a_grouped_kernel_is_the_sum_of_the_products_of_a_group():
    """keras.applications' ResNeXt from its definition: depthwise with a multiplier, then sums, at one pixel."""
    rng = np.random.default_rng(0)
    groups, c = 3, 4
    x = rng.normal(size=groups * c)
    kernel = rng.normal(size=(1, 1, groups * c, c))
    products = (x[:, None] * kernel[0, 0]).reshape(groups, c, c)
    wanted = sum(products[:, t] for t in range(c)).reshape(-1)
    changed = grouped(c)(kernel)[:, :, 0, 0].reshape(groups, c, c)
    np.testing.assert_allclose(np.einsum("gmt,gt->gm", changed, x.reshape(groups, c)).ravel(), wanted)


def test_both_resnet50_are_told_apart():
    new, old = (tensor_maps(name, "keras") for name in ("keras-resnet50", "keras-resnet50-v0.2"))
    files = [dict.fromkeys(wanted_tensors(maps["keras-applications"])) for maps in (new, old)]
    unnamed = dict.fromkeys(wanted_tensors(new["keras-by-order"]))
    assert choose_scheme("keras-resnet50", new, files[0], None, where="f") == "keras-applications"
    assert choose_scheme("keras-resnet50", new, unnamed, None, where="f") == "keras-by-order"
    with pytest.raises(BindingError):
        choose_scheme("keras-resnet50", new, files[1], None, where="f")
    assert "keras-by-order" not in old
    assert not wanted_tensors(old["keras-applications"]) & set(files[0])


def write_listed(path: Path, layers: Layers, seed: int = 0) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    out = {}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name, _ in layers])
        for name, shapes in layers:
            group = file.create_group(name)
            roles = {1: ["kernel"], 2: ["kernel", "bias"], 4: ["gamma", "beta", "moving_mean", "moving_variance"]}
            names = [f"{name}/{role}:0" for role in roles[len(shapes)]]
            group.attrs["weight_names"] = np.array([n.encode() for n in names])
            out[name] = [rng.uniform(0.5, 1.5, shape).astype(np.float32) for shape in shapes]
            for weight, value in zip(names, out[name], strict=True):
                group[weight] = value
    return out


def test_fetch_converts_by_itself(tmp_path, cache):
    name = "keras-mobilenet-0.25"
    write_listed(tmp_path / "a.h5", RECORDED["keras-applications"][name])
    source = {"scheme": "file", "path": str(tmp_path / "a.h5"), "format": "keras"}
    facts = Weights.model_validate({**source, "state": "available", "source": "test"})
    path = fetch_network(tiny.Entry(name, data_root() / ALL[name], (facts,)), cache=cache)
    assert cache.lookup(path).recipe
    convert_weights(name, "keras", tmp_path / "a.h5", data_root() / ALL[name], tmp_path / "a.caffemodel")
    assert path.read_bytes() == (tmp_path / "a.caffemodel").read_bytes()


def test_a_whole_file_becomes_a_caffemodel(tmp_path):
    name = "keras-mobilenet-0.25"
    weights = write_listed(tmp_path / "a.h5", RECORDED["keras-applications"][name])
    report = convert_weights(name, "keras", tmp_path / "a.h5", data_root() / ALL[name], tmp_path / "a.caffemodel")
    assert report.scheme == "keras-applications"
    assert report.tensors_read == report.tensors_mapped == sum(map(len, weights.values()))
    blobs = {layer.name: [b.data for b in layer.blobs] for layer in read_weights(tmp_path / "a.caffemodel").layers}
    kernel = weights["conv1"][0]
    np.testing.assert_array_equal(blobs["conv1"][0][3, 0], kernel[:, :, 2, 3])  # blue is first here, last in Keras
    gamma, beta, mean, variance = weights["conv1_bn"]
    normalisation = [*blobs["conv1_bn"], *blobs["conv1_bn_scale"]]
    for found, expected in zip(normalisation, (mean, variance, [1.0], gamma, beta), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(blobs["conv_dw_1"][0][5, 0], weights["conv_dw_1"][0][:, :, 5, 0])
    np.testing.assert_array_equal(blobs["conv_preds"][0][:, :, 0, 0], weights["conv_preds"][0][0, 0].T)
