"""Keras weights files written with h5py in every layout, and files that are none."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffezoo.errors import WeightsFileError
from caffezoo.weights.keras_file import read_keras_weights

RNG = np.random.default_rng(0)
SHAPES = {
    "conv2d": {"kernel": (3, 3, 3, 8), "bias": (8,)},
    "batch_normalization": dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (8,)),
    "separable_conv2d": {"depthwise_kernel": (3, 3, 8, 1), "pointwise_kernel": (1, 1, 8, 4)},
    "dense": {"kernel": (4, 5), "bias": (5,)},
}
LAYERS = {
    "conv1/conv": ("conv2d", {r: RNG.normal(size=s).astype(np.float32) for r, s in SHAPES["conv2d"].items()}),
    "bn": ("batch_normalization", {r: RNG.normal(size=(8,)) for r in SHAPES["batch_normalization"]}),
    "sep": ("separable_conv2d", {r: RNG.normal(size=s) for r, s in SHAPES["separable_conv2d"].items()}),
    "fc": ("dense", {r: RNG.normal(size=s).astype(np.float16) for r, s in SHAPES["dense"].items()}),
}
Suffix = Callable[[str, str], str]


def listed(group: h5py.Group, suffix: Suffix = lambda layer, role: f"{layer}/{role}:0", *, split: int = 0) -> None:
    """Write Keras' own layout; ``split`` cuts lists after so many entries."""

    def names(target: h5py.Group, attribute: str, values: list[str]) -> None:
        if split and len(values) > split:
            for i in range(0, len(values), split):
                target.attrs[f"{attribute}{i // split}"] = np.array([v.encode() for v in values[i : i + split]])
        else:
            target.attrs[attribute] = np.array([v.encode() for v in values], dtype=None if values else "S1")

    names(group, "layer_names", ["input_1", *LAYERS, "relu"])
    for layer in ("input_1", *LAYERS, "relu"):
        target = group.create_group(layer)
        weights = LAYERS.get(layer, ("", {}))[1]
        names(target, "weight_names", [suffix(layer, role) for role in weights])
        for role, value in weights.items():
            target[suffix(layer, role)] = value


def numbered(file: h5py.File, root: str, *, named: bool, skip: int = 1) -> None:
    """Write a ``.weights.h5``; ``skip`` leaves numbers out, as Keras 2.12 does."""
    for layer, (kind, weights) in LAYERS.items():
        group = file.create_group(f"{root}/{kind}" + (f"_{skip}" if kind == "dense" else "") + "/vars")
        if named:
            group.attrs["name"] = layer.replace("/", "_")
        for i, value in enumerate(weights.values()):
            group[str(i)] = value
    file.create_group(f"{root}/activation_7/vars")
    file.create_group(f"{root}/dropout/seed_generator/vars")["0"] = np.zeros(2, np.uint32)
    file.create_group("vars")
    file.create_group("optimizer/vars")["0"] = np.zeros(1, np.int64)


def wanted(key: Callable[[str, str], str] = lambda layer, kind: layer.replace("/", "_")) -> dict[str, np.ndarray]:
    return {f"{key(n, kind)}/{role}": v for n, (kind, weights) in LAYERS.items() for role, v in weights.items()}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


@pytest.mark.parametrize("root", ["/", "model_weights"])
@pytest.mark.parametrize("split", [0, 2])
def test_weights_files_and_whole_models(path, root, split):
    with h5py.File(path, "w") as file:
        listed(file.require_group(root), split=split)
        file.create_group("optimizer_weights").attrs["weight_names"] = np.array([b"Adam/m:0"])
    found = read_keras_weights(path)
    assert_same(found, wanted())
    assert list(found) == list(wanted())


def test_names_of_keras_1(path):
    old = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}
    with h5py.File(path, "w") as file:
        listed(file, lambda layer, role: f"{layer.replace('/', '_')}_{old.get(role, role)}_1:0")
    assert_same(read_keras_weights(path), wanted())


def test_weights_whose_names_say_nothing(path):
    with h5py.File(path, "w") as file:
        listed(file, lambda layer, role: f"w{list(LAYERS[layer][1]).index(role)}")
    assert_same(read_keras_weights(path), wanted())


def test_strings_as_attributes(path):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["fc"]
        file.create_group("fc").attrs["weight_names"] = ["fc/kernel:0"]
        file["fc/fc/kernel:0"] = np.ones((2, 3))
    assert list(read_keras_weights(path)) == ["fc/kernel"]


@pytest.mark.parametrize("root", ["layers", "_layer_checkpoint_dependencies"])
def test_numbered_weights(path, root):
    with h5py.File(path, "w") as file:
        numbered(file, root, named=True)
    assert_same(read_keras_weights(path), wanted())
    path.unlink()
    with h5py.File(path, "w") as file:
        numbered(file, root, named=False, skip=11)
    assert_same(read_keras_weights(path), wanted(lambda _, kind: f"{kind}[0]"))


@pytest.mark.parametrize("named", [False, True])
def test_numbers_of_a_class_are_ordered_as_numbers(path, named):
    with h5py.File(path, "w") as file:
        for i, number in enumerate(("", "_2", "_10", "_101")):
            group = file.create_group(f"layers/conv2d{number}/vars")
            group["0"] = np.full((1, 1, 2, 2), i, np.float32)
            if named:
                group.attrs["name"] = f"conv2d{number}"
    expected = [f"conv2d_{i}/kernel" if named else f"conv2d[{i - 1}]/kernel" for i in range(1, 5)]
    found = read_keras_weights(path)
    assert sorted(found) == sorted(expected)
    assert [found[name].max() for name in expected] == [0, 1, 2, 3]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_automatic_names_are_counted_anew(path, numbers):
    with h5py.File(path, "w") as file:
        names = [f"batch_normalization_{n}" if n else "batch_normalization" for n in numbers]
        file.attrs["layer_names"] = np.array([n.encode() for n in names])
        for number, name in zip(numbers, names, strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}/{r}:0".encode() for r in ("beta", "moving_mean")])
            for role in ("beta", "moving_mean"):
                group[f"{name}/{role}:0"] = np.array([number], np.float64)
    found = read_keras_weights(path)
    values = [found[f"batch_normalization_{i}/beta"][0] for i in range(1, len(numbers) + 1)]
    assert values == sorted(numbers)


def one(
    file: h5py.File, value: object = None, *, layer: str = "fc", weights: tuple[bytes, ...] = (b"kernel:0",)
) -> None:
    file.attrs["layer_names"] = np.array([layer.encode()])
    group = file.create_group(layer)
    group.attrs["weight_names"] = np.array(weights)
    if value is not None:
        group["kernel:0"] = value


def soft(file):
    one(file)
    file["fc/kernel:0"] = h5py.SoftLink("/other")
    file["other"] = np.ones((2, 2))


def external(file):
    one(file)
    file["fc/kernel:0"] = h5py.ExternalLink("/etc/hostname", "/x")


def external_layer(file):
    file.attrs["layer_names"] = np.array([b"fc"])
    file["fc"] = h5py.ExternalLink("other.h5", "/fc")


def external_values(file):
    one(file)
    file["fc"].create_dataset("kernel:0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file):
    one(file)
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file["fc"].create_virtual_dataset("kernel:0", layout)


def huge(file):
    one(file)
    file["fc"].create_dataset("kernel:0", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))


def bomb(file):
    one(file)
    file["fc"].create_dataset("kernel:0", (1 << 24,), "f4", chunks=(1 << 22,), compression="gzip", fillvalue=0)[:] = 0


def theano_backend(file):
    one(file, np.ones((3, 3, 2, 8)))
    file.attrs["backend"] = b"theano"


def fixed_sum(file):
    one(file, RNG.normal(size=(1, 1, 16, 8)), layer="conv2_block1_2_gconv")


def twice(file):
    one(file, np.ones((2, 2)), weights=(b"kernel:0", b"a/kernel:0"))
    file["fc/a/kernel:0"] = np.ones((2, 2))


def numbers_missing(file):
    file.create_group("layers/dense/vars")["1"] = np.ones((2, 2))


def caffe(file):
    file["data/conv/0"] = np.ones((2, 2), np.float32)


@pytest.mark.parametrize(
    ("write", "shown"),
    [
        (soft, "is a link to somewhere else"),
        (external, "is a link to somewhere else"),
        (external_layer, "is a link to somewhere else"),
        (external_values, "its values are in another file"),
        (virtual, "its values are in another file"),
        (huge, "too large"),
        (bomb, "too large"),
        (theano_backend, "Theano's, turned by 180 degrees; use the file for TensorFlow"),
        (lambda f: one(f, np.ones((64, 3, 7, 7))), r"shape \[64, 3, 7, 7\]: the axes are in Theano's order"),
        (lambda f: one(f, np.ones((2, 2), np.int32)), "not an array of floats"),
        (lambda f: one(f, h5py.Empty("f4")), "not an array of floats"),
        (lambda f: one(f), "'kernel:0' is not in the file; it is truncated or was never complete"),
        (lambda f: one(f, weights=(b"../x",)), "not in the file"),
        (lambda f: one(f, np.ones((2, 2, 2)), weights=(b"kernel:0", b"./kernel:0")), "not in the file"),
        (fixed_sum, "no sum within groups"),
        (twice, "two weights are 'fc/kernel'"),
        (numbers_missing, "not numbered from 0"),
        (caffe, "it is a Caffe weights file"),
        (lambda f: f.create_group("x"), "HDF5, but not Keras weights"),
        (lambda f: f.attrs.__setitem__("layer_names", np.array([b"a"])), "'a' is not in the file"),
        (lambda f: (f.create_group("a"), f.attrs.__setitem__("layer_names", [b"a"])), "no attribute weight_names"),
        (lambda f: f.attrs.__setitem__("layer_names", np.array([], "S1")), "it holds no weights"),
        (lambda f: f.attrs.__setitem__("layer_names", np.array([b"\xff"])), "cannot be read"),
        (lambda f: f.create_group("layers/gru/vars").__setitem__("0", np.ones((2, 2, 2))), "of no known sort"),
    ],
)
def test_hostile_and_foreign_files(path, write, shown):
    with h5py.File(path, "w") as file:
        write(file)
    with pytest.raises(WeightsFileError, match=shown) as caught:
        read_keras_weights(path)
    assert caught.value.where == str(path)
    assert "\n" not in str(caught.value)


def test_the_fixed_sum_of_resnext_is_known(path):
    channels, groups = 2, 3
    kernel = np.zeros((1, 1, groups * channels**2, groups * channels), np.float32)
    for g in range(groups):
        for t in range(channels):
            for m in range(channels):
                kernel[0, 0, (g * channels + t) * channels + m, g * channels + m] = 1
    with h5py.File(path, "w") as file:
        one(file, kernel, layer="conv2_block1_2_gconv")
    assert list(read_keras_weights(path)) == ["conv2_block1_2_gconv/kernel"]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + bytes(60), b"<html>", b"\x89HDF\r\n\x1a\n", bytes(4096)])
def test_files_that_are_no_hdf5(path, data):
    path.write_bytes(data)
    with pytest.raises(WeightsFileError):
        read_keras_weights(path)


def test_no_such_file(tmp_path):
    with pytest.raises(WeightsFileError):
        read_keras_weights(tmp_path / "none.h5")


def test_an_archive_of_keras_3(path, tmp_path):
    with h5py.File(path, "w") as file:
        numbered(file, "layers", named=True)
    archive = tmp_path / "a.keras"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("config.json", "{}")
        out.write(path, "model.weights.h5")
    assert_same(read_keras_weights(archive), wanted())


@pytest.mark.parametrize("content", [None, b"<html>"])
def test_an_archive_without_weights(tmp_path, content):
    archive = tmp_path / "a.keras"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("config.json" if content is None else "model.weights.h5", content or b"{}")
    with pytest.raises(WeightsFileError, match=r"no Keras archive|not a Keras weights file") as caught:
        read_keras_weights(archive)
    assert caught.value.where == str(archive)


def test_truncated_anywhere(path):
    with h5py.File(path, "w") as file:
        listed(file)
    data = path.read_bytes()
    for length in range(0, len(data) - 1, 331):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsFileError):
            read_keras_weights(path)
