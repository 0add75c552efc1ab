from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from caffezoo.weights import transfer as transfer_module
from caffezoo.weights.cache import Cache

from . import unruly_server
from .fetcher import DATA, Fetcher
from .package_index import Index, serving
from .unruly_server import Site


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def index() -> Iterator[Index]:
    with serving(Index()) as running:
        yield running


@pytest.fixture
def only_index(index, monkeypatch) -> Index:
    """The local index as the only one that pip is configured with."""
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return index


@pytest.fixture
def site(monkeypatch) -> Iterator[Site]:
    """A server that can do everything wrong."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with unruly_server.serving(Site()) as running:
        yield running


@pytest.fixture
def fetcher(cache, site) -> Fetcher:
    """Fetches DATA from the server."""
    return Fetcher(cache, site.put("/f", DATA))


@pytest.fixture
def quick(monkeypatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(transfer_module.random, "uniform", lambda a, b: 0.0)
