"""The cache: plain names, whole files, one fetcher at a time."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from caffezoo.errors import FetchError
from caffezoo.weights.cache import Cache
from caffezoo.weights.failures import CacheError


def _adopt(cache: Cache, data: bytes = b"weights", recipe: str = "") -> Path:
    target = cache.path("net", "net.caffemodel")
    with cache.staging() as scratch:
        staged = scratch / "file"
        staged.write_bytes(data)
        cache.adopt(staged, target, sha256=hashlib.sha256(data).hexdigest(), source="test", recipe=recipe)
    return target


def test_root_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "here"))
    assert Cache().root == tmp_path / "here"
    assert not Cache().root.exists()


@pytest.mark.parametrize("bad", ["..", ".", "", "a/b", "/etc", "a\\b", "a\0b"])
def test_names_that_would_leave_the_cache(cache, bad):
    with pytest.raises(FetchError, match="not a plain file name"):
        cache.path("net", bad)
    with pytest.raises(FetchError, match="not a plain file name"):
        cache.path(bad, "net.caffemodel")


def test_what_was_adopted_is_found(cache):
    target = _adopt(cache, recipe="r1")
    found = cache.lookup(target)
    assert found is not None
    assert (found.bytes, found.recipe, found.source, found.check) == (7, "r1", "test", "published")
    assert found.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert target.read_bytes() == b"weights"
    assert list((cache.root / "staging").iterdir()) == []


@pytest.mark.parametrize("touch", ["content", "mtime", "metadata", "no metadata", "foreign metadata", "gone"])
def test_what_somebody_touched_is_not_found(cache, touch):
    target = _adopt(cache)
    note = target.with_name(target.name + ".json")
    if touch == "content":
        target.write_bytes(b"weights and more")
    elif touch == "mtime":
        os.utime(target, ns=(1, 1))
    elif touch == "metadata":
        note.write_text(note.read_text()[:20])
    elif touch == "no metadata":
        note.unlink()
    elif touch == "foreign metadata":
        note.write_text('{"bytes": 7, "colour": "red"}')
    else:
        target.unlink()
    assert cache.lookup(target) is None


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache")
    with pytest.raises(FetchError, match="CAFFEZOO_CACHE"), cache.staging():
        pass
    with pytest.raises(FetchError, match="CAFFEZOO_CACHE"), cache.lock(cache.path("a", "b")):
        pass


def test_staging_is_emptied_after_a_failure_and_swept_after_a_day(cache):
    with pytest.raises(ZeroDivisionError), cache.staging() as scratch:
        (scratch / "half").write_bytes(bytes(1 // 0))
    assert list((cache.root / "staging").iterdir()) == []
    left = cache.root / "staging" / "fetch-killed"
    left.mkdir()
    old = time.time() - 2 * 24 * 3600
    os.utime(left, (old, old))
    with cache.staging():
        assert not left.exists()


def _hold(root: Path, held: multiprocessing.synchronize.Event) -> None:
    cache = Cache(root)
    with cache.lock(cache.path("net", "f")):
        held.set()
        time.sleep(60)


def test_the_lock_waits_names_its_owner_and_dies_with_it(cache):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(cache.root, held))
    holder.start()
    try:
        assert held.wait(60)
        lock = cache.lock(cache.path("net", "f"), timeout_s=0.2)
        with pytest.raises(FetchError, match=f"process {holder.pid} on .* has held"), lock:
            pass
    finally:
        holder.kill()
        holder.join()
    with cache.lock(cache.path("net", "f"), timeout_s=5):
        pass


def test_the_file_appears_by_renaming(cache):
    target = cache.path("net", "net.caffemodel")
    with cache.staging() as scratch:
        staged = scratch / "file"
        staged.write_bytes(b"weights")
        inode = staged.stat().st_ino
        cache.adopt(staged, target, sha256="", source="test")
    assert target.stat().st_ino == inode


def test_whoever_waits_is_told_for_whom(cache):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(cache.root, held))
    holder.start()
    owners = []
    try:
        assert held.wait(60)
        with pytest.raises(CacheError), cache.lock(cache.path("net", "f"), timeout_s=0.3, waiting=owners.append):
            pass
    finally:
        holder.kill()
        holder.join()
    assert len(owners) == 1
    assert owners[0].startswith(f"{holder.pid} on ")
