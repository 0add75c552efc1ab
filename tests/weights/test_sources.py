"""The seam: a stream that begins where it was asked to, or at 0."""

from __future__ import annotations

import socket

import pytest

from caffezoo.weights.failures import ByHandError, OfflineError
from caffezoo.weights.sources import Request, open_source, place_of
from caffezoo.zoo.schema import Weights


def _facts(**fields: object) -> Weights:
    return Weights.model_validate({"format": "caffemodel", "state": "available", "source": "test", **fields})


@pytest.mark.parametrize(
    ("asked", "begins"), [(0, 0), (1, 1), (999_999, 999_999), (1_000_000, 1_000_000), (1_000_001, 0)]
)
def test_a_file_from_an_offset(tmp_path, asked, begins):
    data = bytes(range(250)) * 4000
    (tmp_path / "f").write_bytes(data)
    stream = open_source(_facts(scheme="file", path=str(tmp_path / "f")), Request(asked))
    assert (stream.offset_bytes, stream.total_bytes) == (begins, len(data))
    assert b"".join(stream.chunks) == data[begins:]


def test_a_source_that_cannot_begin_elsewhere_says_so(tmp_path, only_index):
    only_index.projects["x"] = {"f": b"0123456789"}
    url = f"http://127.0.0.1:{only_index.port}/files/f"
    stream = open_source(_facts(scheme="https", url=url), Request(4))
    assert (stream.offset_bytes, stream.total_bytes) == (0, 10)
    assert b"".join(stream.chunks) == b"0123456789"


def test_what_only_a_person_can_fetch():
    facts = _facts(scheme="baidu", url="https://pan.example/s/1", note="code x1y2", file="net.caffemodel", md5="0" * 32)
    with pytest.raises(ByHandError, match=r"pan\.example/s/1: no program .*code x1y2.* net\.caffemodel.* md5:0{32}"):
        open_source(facts, Request())


@pytest.mark.parametrize(
    "fields",
    [
        {"scheme": "https", "url": "https://h.example/f"},
        {"scheme": "hf", "id": "a/b", "file": "f"},
        {"scheme": "gdrive", "id": "abc"},
    ],
)
def test_offline_opens_no_socket(fields, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    with pytest.raises(OfflineError, match="--offline"):
        open_source(_facts(**fields), Request(offline=True))


def test_another_hub(only_index, monkeypatch):
    only_index.projects["x"] = {"f": b"0123456789"}
    monkeypatch.setattr(only_index, "answer", lambda path: ("application/octet-stream", path.encode()))
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{only_index.port}/hub/")
    with open_source(_facts(scheme="hf", id="timm/net.a1", file="model.safetensors"), Request()) as stream:
        assert b"".join(stream.chunks) == b"/hub/timm/net.a1/resolve/main/model.safetensors"


def test_places_in_words():
    assert place_of(_facts(scheme="pypi", id="a==1", archive={"file": "f"}, member="m")) == "pypi a==1"
    assert place_of(_facts(scheme="https", url="https://u:p@h.example/f?key=1#x")) == "https://h.example/f"
    assert place_of(_facts(scheme="file", path="/tmp/f")) == "file /tmp/f"
