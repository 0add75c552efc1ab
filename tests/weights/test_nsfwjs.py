"""The trained Inception v3 that npm's nsfwjs holds: its answers are TensorFlow.js', and folding keeps them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.engines.registry import create_engine
from caffezoo.evaluation.agreement import agreement, drawn_batches
from caffezoo.net.fold_report import rounding
from caffezoo.net.folding import fold
from caffezoo.net.graph import Network
from caffezoo.weights.cache import Cache
from caffezoo.weights.fetch import fetch_network
from caffezoo.zoo.index import load_index
from tests.oracle import oracle_python, requires_caffe

from .registry import npm_cache

pytestmark = pytest.mark.registry
NAME = "nsfwjs-inception-v3"

# Drawing, Hentai, Neutral, Porn, Sexy for :func:`images`: @tensorflow/tfjs 4.22.0 (wasm) on the package's files.
ANSWERS = [
    [3.37039679e-01, 6.06214330e-02, 5.77480555e-01, 1.95934176e-02, 5.26497653e-03],
    [2.51696885e-01, 1.24313205e-01, 5.88329971e-01, 2.98404973e-02, 5.81938354e-03],
]


def images() -> list[np.ndarray]:
    """Ramps in red, green and blue: the same on every machine. BGR, uint8."""
    y, x = np.mgrid[:299, :299]
    planes = [((x * (k + 1)) % 256, (y * 2 + k * 40) % 256, ((x + y) // (k + 2)) % 256) for k in range(2)]
    return [np.stack(rgb[::-1], axis=-1).astype(np.uint8) for rgb in planes]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    entry = load_index().network(NAME)
    return Network.load(entry.prototxt_path, fetch_network(entry, cache=Cache(npm_cache(tmp_path_factory))))


@pytest.mark.parametrize("folded", [False, True], ids=["as trained", "folded"])
@pytest.mark.parametrize("engine", ["openvino", pytest.param("caffe", marks=requires_caffe)])
def test_the_answers_of_tfjs(network: Network, engine: str, folded: bool) -> None:
    x = np.concatenate([load_index().network(NAME).preprocess(image) for image in images()])
    net = fold(network).network if folded else network
    python = oracle_python() if engine == "caffe" else None
    with create_engine(engine, net, batch_size=2, outputs=["prob"], caffe_python=python) as running:
        found = running.run({"data": x})["prob"]
    np.testing.assert_allclose(found.reshape(2, 5), ANSWERS, rtol=0, atol=2e-6)


def test_folding_is_exact(network: Network) -> None:
    folding = fold(network)
    assert len(folding.folded) == 188
    deltas = rounding(network, folding)
    assert len(deltas) == 94
    assert max(delta.relative for delta in deltas) <= 1e-6
    found = agreement(network, folding.network, drawn_batches(network, 4, 2), batch_size=2)
    assert len(found.blobs) == 157
    assert found.worst.relative <= 1e-5
    assert found.top1_differs == 0


def test_the_original_names_for_metal(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(npm_cache(tmp_path_factory)))
    for flags in (["--metal", str(tmp_path / "dat")], ["--compare", str(tmp_path / "dat")]):
        with pytest.raises(SystemExit) as stopped:
            main(["export", NAME, "--inception3", *flags])
        assert not stopped.value.code
        lines = [line for line in capsys.readouterr().out.splitlines() if "[max delta:" in line]
        assert len(lines) == 94 + 3
        assert all(re.search(r"\[max delta: w=0\.0+ b=0\.0+\]$", line) for line in lines)
        assert [line.split(" ")[0] for line in lines[-3:]] == ["dense_1", "dense_2", "softmax"]
    assert (tmp_path / "dat" / "weights_dense_1.dat").stat().st_size == 4 * 2048 * 256
    assert (tmp_path / "dat" / "weights_conv.dat").stat().st_size == 4 * 32 * 3 * 3 * 3
