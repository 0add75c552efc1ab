"""The cache of compiled models: the same answers, another entry for whatever matters, and no harm in damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffezoo.engines import compiled
from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_inputs, seeded_weights
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform

NET = """
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled, "MIN_WEIGHT_BYTES", 1)
    return tmp_path / "compiled"


def network(seed: int = 0) -> Network:
    net = Network.from_text(NET)
    return net.with_weights(seeded_weights(net, seed)[0])


def run(net: Network, **options: object) -> np.ndarray:
    with create_engine("openvino", net, batch_size=2, **options) as engine:
        return engine.run(seeded_inputs(net, 3, batch=2))[engine.outputs[0]]


def test_an_entry_gives_the_same_answers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    first = run(net)
    (entry,) = cache.iterdir()
    monkeypatch.setattr("caffezoo.engines.openvino.OpenVINOEngine._compiled", None)  # it is not compiled again
    assert np.array_equal(run(net), first)
    assert list(cache.iterdir()) == [entry]


def test_whatever_matters_is_another_entry(cache: Path) -> None:
    transform = Transform((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    first = network()
    run(first)
    run(network(1))
    run(first, outputs=["fc"])
    run(first, precision="float16-storage")
    run(first, threads=1)
    for mean in (transform.mean, (9.0, 9.0, 9.0)):
        with create_engine("openvino", first, batch_size=2, transform=Transform(mean, transform.std)) as engine:
            engine.run(pixels)
    with create_engine("openvino", first, batch_size=1):
        pass
    assert len(list(cache.iterdir())) == 8
    assert run(network(1)) != pytest.approx(run(first))


def test_small_networks_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path))
    run(network())
    assert not (tmp_path / "compiled").exists()


@pytest.mark.parametrize("damage", ["empty", "nonsense", "half", "longer"])
def test_a_damaged_entry_is_made_again(cache: Path, damage: str) -> None:
    net = network()
    wanted = run(net)
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    content = {"empty": b"", "nonsense": b"nonsense" * 100, "half": whole[: len(whole) // 2], "longer": whole + b"x"}
    entry.write_bytes(content[damage])
    assert np.array_equal(run(net), wanted)
    assert entry.read_bytes() != content[damage]


def test_a_cache_that_cannot_be_written_does_no_harm(cache: Path) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder would be")
    assert run(network()).shape == (2, 5)


def test_the_oldest_go_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    run(network(0))
    (first,) = cache.iterdir()
    os.utime(first, ns=(10**9, 10**9))
    monkeypatch.setattr(compiled, "MAX_BYTES", int(1.5 * first.stat().st_size))
    run(network(1))
    (left,) = cache.iterdir()
    assert left != first
