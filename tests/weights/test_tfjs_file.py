"""TensorFlow.js models in every form they come in, and files that claim to be some."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffezoo.errors import WeightsFileError
from caffezoo.weights.importer import framework_of
from caffezoo.weights.tfjs_file import read_tfjs_weights, split_archive_path
from tests.weights import tfjs_writer as writer
from tests.weights.package_index import wheel

RNG = np.random.default_rng(0)
SHAPES = {
    "conv2d_7/kernel": (3, 3, 3, 4),
    "batch_normalization_2/beta": (4,),
    "batch_normalization_2/moving_mean": (4,),
    "batch_normalization_2/moving_variance": (4,),
    "conv2d/kernel": (1, 1, 4, 2),
    "conv2d/bias": (2,),
    "dw/depthwise_kernel": (3, 3, 2, 1),
    "block_1/fc/kernel": (2, 5),
    "block_1/fc/bias": (5,),
}
TENSORS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
KEYS = [
    "conv2d_2/kernel",
    "batch_normalization_1/beta",
    "batch_normalization_1/moving_mean",
    "batch_normalization_1/moving_variance",
    "conv2d_1/kernel",
    "conv2d_1/bias",
    "dw/kernel",
    "block_1_fc/kernel",
    "block_1_fc/bias",
]


def places(tmp_path: Path, dtype: str | None, shards: int) -> list[Path]:
    """One model as files, modules, and each in an archive."""
    plain, modules = (make(TENSORS, dtype, shards=shards) for make in (writer.plain_files, writer.module_files))
    writer.write(tmp_path / "plain", plain)
    writer.write(tmp_path / "modules", modules)
    (tmp_path / "packed.tgz").write_bytes(writer.package(modules))
    (tmp_path / "packed.whl").write_bytes(wheel({f"m/{name}": data for name, data in plain.items()}))
    return [
        tmp_path / "plain" / "model.json",
        tmp_path / "modules" / "model.min.js",
        tmp_path / "packed.tgz" / "package" / "model" / "model.min.js",
        tmp_path / "packed.tgz",
        tmp_path / "packed.whl",
        tmp_path / "packed.whl" / "m" / "model.json",
    ]


@pytest.mark.parametrize("dtype", [None, "uint8", "uint16", "float16"])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_form_gives_the_same_tensors(tmp_path: Path, dtype: str | None, shards: int) -> None:
    for path in places(tmp_path, dtype, shards):
        found = read_tfjs_weights(path)
        assert list(found) == KEYS
        for key, wanted in zip(KEYS, TENSORS.values(), strict=True):
            assert found[key].dtype == np.float32
            step = {None: 0.0, "uint8": np.ptp(wanted) / 255, "uint16": np.ptp(wanted) / 65535, "float16": 2e-3}[dtype]
            np.testing.assert_allclose(found[key], wanted, rtol=0, atol=0.5001 * step)


def test_dequantised_to_the_bit_as_tfjs_does(tmp_path: Path) -> None:
    """Its numbers are float64, and the array that takes ``value * scale + min`` is float32."""
    values = np.arange(256, dtype=np.uint8)
    scale, low = 0.007836444471396652, -0.7601351137254753
    spec = {"name": "a/kernel", "shape": [256], "dtype": "float32"}
    spec["quantization"] = {"dtype": "uint8", "scale": scale, "min": low}
    made = {"modelTopology": {}, "weightsManifest": [{"paths": ["s"], "weights": [spec]}]}
    writer.write(tmp_path, {"model.json": json.dumps(made).encode(), "s": values.tobytes()})
    found = read_tfjs_weights(tmp_path / "model.json")["a/kernel"]
    assert found.tolist() == [float(np.float32(int(v) * scale + low)) for v in values]
    in_float32 = values.astype(np.float32) * np.float32(scale) + np.float32(low)
    assert (in_float32 != found).any()


def test_kinds_are_named(tmp_path: Path) -> None:
    for path in places(tmp_path, None, 1)[:3]:
        assert framework_of(path) == "tfjs"
    (tmp_path / "a.js").write_text("!function(){}")
    with pytest.raises(WeightsFileError, match="it is a JavaScript file"):
        framework_of(tmp_path / "a.js")


def test_a_path_into_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"")
    assert split_archive_path(tmp_path / "a.tgz") == (tmp_path / "a.tgz", None)
    assert split_archive_path(tmp_path / "a.tgz" / "b" / "c.json") == (tmp_path / "a.tgz", "b/c.json")
    assert split_archive_path(tmp_path / "none" / "c.json") == (tmp_path / "none" / "c.json", None)


def test_an_archive_of_several_models_wants_a_path(tmp_path: Path) -> None:
    files = writer.plain_files(TENSORS)
    packed = {f"{folder}/{name}": data for folder in ("one", "two") for name, data in files.items()}
    (tmp_path / "a.tgz").write_bytes(writer.package(packed, "package/"))
    with pytest.raises(WeightsFileError, match=r"2 models: package/one/model\.json, package/two/model\.json; a\.tgz/"):
        read_tfjs_weights(tmp_path / "a.tgz")
    assert list(read_tfjs_weights(tmp_path / "a.tgz" / "package" / "two" / "model.json")) == KEYS


def first(made: dict[str, Any]) -> dict[str, Any]:
    return made["weightsManifest"][0]["weights"][0]


def quantise(**given: object) -> Callable[[dict[str, Any]], object]:
    return lambda made: first(made).update(quantization={"dtype": "uint8", "scale": 1.0, "min": 0.0, **given})


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no manifest": (lambda m: m.pop("weightsManifest"), "no weightsManifest"),
    "a manifest that is no list": (lambda m: m.update(weightsManifest={"a": 1}), "no weightsManifest"),
    "a group that is none": (lambda m: m.update(weightsManifest=["a"]), "no lists of paths and weights"),
    "paths that are none": (lambda m: m["weightsManifest"][0].update(paths=[1]), "no lists of paths"),
    "above the folder": (lambda m: m["weightsManifest"][0].update(paths=["../s"]), "'../s' is not a path below"),
    "an absolute path": (lambda m: m["weightsManifest"][0].update(paths=["/etc/passwd"]), "is not a path below"),
    "a drive": (lambda m: m["weightsManifest"][0].update(paths=["c:\\s"]), "is not a path below"),
    "a URL": (lambda m: m["weightsManifest"][0].update(paths=["http://h/s"]), "is not a path below"),
    "no path": (lambda m: m["weightsManifest"][0].update(paths=[""]), "is not a path below"),
    "a shard that is not there": (lambda m: m["weightsManifest"][0].update(paths=["s9"]), "s9"),
    "too many shards": (lambda m: m["weightsManifest"][0].update(paths=["s"] * 20_000), "more than 10000 shards"),
    "no name": (lambda m: first(m).pop("name"), "has no name"),
    "no role": (lambda m: first(m).update(name="conv/what"), "'conv/what' has no known role"),
    "no layer": (lambda m: first(m).update(name="kernel"), "'kernel' has no known role"),
    "two of a name": (lambda m: first(m).update(name="dw/depthwise_kernel"), "two weights are 'dw/depthwise_kernel'"),
    "a shape below zero": (lambda m: first(m).update(shape=[-1, 3]), "has the shape [-1, 3]"),
    "a shape of fractions": (lambda m: first(m).update(shape=[1.5]), "has the shape [1.5]"),
    "a shape of truths": (lambda m: first(m).update(shape=[True]), "has the shape [True]"),
    "a shape that is none": (lambda m: first(m).update(shape="3"), "has the shape 3"),
    "too many axes": (lambda m: first(m).update(shape=[1] * 9), "has the shape [1, 1"),
    "a huge shape": (lambda m: first(m).update(shape=[1 << 30, 1 << 30]), "truncated?"),
    "a huge shape of nothing": (lambda m: first(m).update(shape=[0, 1 << 70]), "has the shape"),
    "too small a shape": (lambda m: first(m).update(shape=[3, 3, 3, 3]), "hold weights of"),
    "another dtype": (lambda m: first(m).update(dtype="complex64"), "has dtype complex64"),
    "another quantisation": (quantise(dtype="int4"), "is quantised to int4; known are uint8, uint16, float16"),
    "no quantisation": (lambda m: first(m).update(quantization=[1]), "is quantised to None"),
    "no scale": (quantise(scale=None), "scale and min [None, 0.0]"),
    "an endless scale": (quantise(scale=1e999), "not JSON"),
    "a scale of text": (quantise(min="0"), "scale and min [1.0, '0']"),
    "a graph model": (lambda m: m.update(format="graph-model"), "a graph model"),
    "no weights": (lambda m: m.update(weightsManifest=[]), "holds no weights"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_models_that_are_wrong(tmp_path: Path, name: str) -> None:
    change, said = BROKEN[name]
    made, shards = writer.model(TENSORS)
    change(made)
    writer.write(tmp_path / "m", {"model.json": json.dumps(made).encode(), **shards})
    refused(tmp_path / "m" / "model.json", said)
    (tmp_path / "m.tgz").write_bytes(writer.package({"model.json": json.dumps(made).encode(), **shards}, "p/"))
    refused(tmp_path / "m.tgz", said)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.tgz"]


def refused(path: Path, said: str) -> None:
    with pytest.raises(WeightsFileError) as caught:
        read_tfjs_weights(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a TensorFlow.js model"),
        (b"{", "not a TensorFlow.js model"),
        (b"[" * 100_000, "not a TensorFlow.js model"),
        (b'{"weightsManifest": NaN}', "NaN is not JSON"),
        (b"\xff\xfe\x00", "not a TensorFlow.js model"),
        (b"[]", "no weightsManifest"),
    ],
    ids=range(6),
)
def test_files_that_are_no_model(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "model.json").write_bytes(data)
    refused(tmp_path / "model.json", said)


@pytest.mark.parametrize("make", [writer.plain_files, writer.module_files])
def test_shards_that_are_cut_or_too_long(tmp_path: Path, make: Callable[..., dict[str, bytes]]) -> None:
    files = make(TENSORS, shards=2)
    model, _, last = files
    for name, data in files.items():
        for count in (0, len(data) // 2):
            writer.write(tmp_path, {**files, name: data[:count]})
            refused(tmp_path / model, "")
    if make is writer.plain_files:
        writer.write(tmp_path, {**files, last: files[last][:-1]})
        refused(tmp_path / model, "truncated?")
        writer.write(tmp_path, {**files, last: files[last] + b"\0"})
        refused(tmp_path / model, "hold weights of")


def test_shards_in_modules_must_be_base64(tmp_path: Path) -> None:
    files = writer.module_files(TENSORS)
    writer.write(tmp_path, {**files, "group1-shard1of1.min.js": (writer.BUNDLE % '"AA*="').encode()})
    refused(tmp_path / "model.min.js", "shard 'group1-shard1of1'")
    writer.write(tmp_path, {**files, "group1-shard1of1.min.js": (writer.BUNDLE % "[1]").encode()})
    refused(tmp_path / "model.min.js", "it exports no string")


def test_archives_that_are_none_or_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"\x1f\x8b\x08nothing")
    refused(tmp_path / "a.tgz", "not a usable archive")
    (tmp_path / "b.tgz").write_bytes(writer.package({"a": b""}))
    refused(tmp_path / "b.tgz", "it holds no models called model.json or model.min.js")
    refused(tmp_path / "b.tgz" / "package" / "model.json", "no member named package/model.json")
    refused(tmp_path / "c.json", "No such file")
