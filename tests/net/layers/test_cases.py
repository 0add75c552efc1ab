"""Every layer type at its representative configurations, against real Caffe."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.net.registry import layer_types
from tests.net.layers.cases import CASES, Case
from tests.net.layers.every_fork_case import EVERY_FORK_CASE, OWN_TESTS
from tests.net.layers.opencv_runs import DETECTION_TYPES
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe

WITHOUT_CASE = {"Input", "Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "WindowData"} | {
    "Silence",
    "HDF5Output",
    *("CtcLoss", "WarpCTCLoss", "DenseBlock"),
    *("AUMaskBasedLand", "BoxAnnotatorOHEM", "LabelsequenceAccuracy", "SequenceAccuracy", "SegAccuracy"),
    *("DenseImageData", "ImageSegData", "VideoData"),
}
"""Types without a bottom or without a top, and those whose own tests hold them."""
NOT_BATCH_FIRST = {
    "continuation_indicator",
    "bias_two_bottoms",
    "batch_reindex",
    "parameter",
    "rnn_exposed",
    "lstm_static",
    "lstm_exposed",
    "lstm_unit",
} | {
    *("infogain_loss", "infogain_loss_axis"),
}


def bottoms(case: Case, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random bottoms of a case."""
    rng = np.random.default_rng(seed)
    arrays = {n: rng.uniform(case.low, case.high, s).astype(np.float32) for n, s in case.shapes.items()}
    if case.classes:
        last = list(case.shapes)[case.labels]
        arrays[last] = rng.integers(0, case.classes, case.shapes[last]).astype(np.float32)
    return arrays


@requires_caffe
@pytest.mark.parametrize("name", CASES)
def test_case_matches_caffe(name: str) -> None:
    case = CASES[name]
    status = assert_layer_matches_caffe(
        case.layer, bottoms(case), batch_free=name not in NOT_BATCH_FIRST, bound=name == "filter"
    )
    assert status == "matched"


def test_every_layer_type_has_a_case() -> None:
    layers = [c.layer for c in CASES.values()] + [f.case.layer for f in EVERY_FORK_CASE.values()]
    assert {layer_proto(layer).type for layer in layers} | WITHOUT_CASE | OWN_TESTS | DETECTION_TYPES == set(
        layer_types()
    )
