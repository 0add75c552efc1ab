"""The seam: a stream that begins where it was asked to, or at 0."""

from __future__ import annotations

import pytest

from caffezoo.errors import SourceError
from caffezoo.weights.sources import Request, open_source, place_of
from caffezoo.zoo.schema import Weights


def _facts(**fields: object) -> Weights:
    return Weights.model_validate({"format": "caffemodel", "state": "available", "source": "test", **fields})


def _request(tmp_path, offset: int = 0) -> Request:
    return Request(offset, tmp_path, lambda done, total: None)


@pytest.mark.parametrize(
    ("asked", "begins"), [(0, 0), (1, 1), (999_999, 999_999), (1_000_000, 1_000_000), (1_000_001, 0)]
)
def test_a_file_from_an_offset(tmp_path, asked, begins):
    data = bytes(range(250)) * 4000
    (tmp_path / "f").write_bytes(data)
    stream = open_source(_facts(scheme="file", path=str(tmp_path / "f")), _request(tmp_path, asked))
    assert (stream.offset_bytes, stream.total_bytes) == (begins, len(data))
    assert b"".join(stream.chunks) == data[begins:]


def test_a_source_that_cannot_begin_elsewhere_says_so(tmp_path, only_index):
    only_index.projects["x"] = {"f": b"0123456789"}
    url = f"http://127.0.0.1:{only_index.port}/files/f"
    stream = open_source(_facts(scheme="https", url=url), _request(tmp_path, 4))
    assert (stream.offset_bytes, stream.total_bytes) == (0, 10)
    assert b"".join(stream.chunks) == b"0123456789"


def test_schemes_without_a_source(tmp_path):
    with pytest.raises(SourceError, match=r"pan\.example/s/1: this version cannot fetch"):
        open_source(_facts(scheme="baidu", url="https://pan.example/s/1"), _request(tmp_path))


def test_places_in_words():
    assert place_of(_facts(scheme="pypi", id="a==1", archive={"file": "f"}, member="m")) == "pypi a==1"
    assert place_of(_facts(scheme="https", url="https://u:p@h.example/f?key=1#x")) == "https://h.example/f"
    assert place_of(_facts(scheme="file", path="/tmp/f")) == "file /tmp/f"
