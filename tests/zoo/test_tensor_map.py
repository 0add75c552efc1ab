"""Maps: registered once, found by network and framework, known apart by what they do."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.zoo import tensor_map as module
from caffezoo.zoo.tensor_map import BlobSource, TensorMap, find_tensor_map, rgb_to_bgr, tensor_map, zero_extended


def test_registered_once(monkeypatch):
    monkeypatch.setattr(module, "_TABLE", {})
    tensor_map("n", "torch", lambda: TensorMap({}))
    with pytest.raises(ValueError, match=r"torch map .*of n is registered twice"):
        tensor_map("n", "torch", lambda: TensorMap({}))


def test_found_by_network_and_framework():
    assert "fc" in find_tensor_map("efficientnet-lite0", "torch").layers
    assert find_tensor_map("efficientnet-lite0", "keras") is None
    assert find_tensor_map("no-such-net", "torch") is None


def test_fingerprints_tell_maps_apart():
    sources = [
        BlobSource("w"),
        BlobSource("v"),
        BlobSource("w", (rgb_to_bgr,)),
        BlobSource("w", (zero_extended,)),
        BlobSource(None, constant=1.0),
        BlobSource(None, constant=2.0),
    ]
    prints = {TensorMap({"conv": (source,)}).fingerprint for source in sources}
    prints.add(TensorMap({"other": (sources[0],)}).fingerprint)
    assert len(prints) == len(sources) + 1
    assert TensorMap({"conv": (BlobSource("w"),)}).fingerprint in prints


def test_changes():
    kernel = np.arange(54.0).reshape(2, 3, 3, 3)
    np.testing.assert_array_equal(rgb_to_bgr(kernel)[:, 0], kernel[:, 2])
    np.testing.assert_array_equal(rgb_to_bgr(rgb_to_bgr(kernel)), kernel)
    wide = zero_extended(kernel)
    np.testing.assert_array_equal(wide[:, :, 1:, 1:], kernel)
    assert not wide[:, :, 0].any()
    assert not wide[..., 0].any()
