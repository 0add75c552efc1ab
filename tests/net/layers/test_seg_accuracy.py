"""SegAccuracy against loops over pixels, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError, ShapeError
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.opencv_runs import engine_outputs, network_of


def _text(param: str = "") -> str:
    return f'name: "l" type: "SegAccuracy" bottom: "x" bottom: "label" top: "y" seg_accuracy_param {{ {param} }}'


@cases(25)
@given(SEEDS, st.integers(1, 4), st.booleans(), st.sampled_from([[], [0], [1, 255]]))
def test_it_is_the_confusion_matrix(seed: int, classes: int, coarse: bool, ignored: list[int]) -> None:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (2, classes, 3, 2))
    x = np.round(x * 2) if coarse else x  # few values: many scores are equal
    label = rng.integers(0, classes, (2, 1, 3, 2))
    label[rng.uniform(0, 1, label.shape) < 0.3] = next(iter(ignored), 0)
    pairs = []
    for n, i, j in np.ndindex(2, 3, 2):
        if label[n, 0, i, j] not in ignored:
            pairs.append((int(label[n, 0, i, j]), max((x[n, c, i, j], c) for c in range(classes))[1]))
    recalls, overlaps = [], []
    for c in range(classes):
        hits, here, said = pairs.count((c, c)), [a for a, _ in pairs].count(c), [b for _, b in pairs].count(c)
        recalls += [hits / here] if here else []
        overlaps.append(hits / (here + said - hits) if here + said else 1)
    wanted = [sum(a == b for a, b in pairs) / max(len(pairs), 1), np.mean(recalls) if recalls else 0, np.mean(overlaps)]
    inputs = {"x": x.astype(np.float32), "label": label.astype(np.float32)}
    network = network_of(_text(" ".join(f"ignore_label: {k}" for k in ignored)), inputs)
    assert network.shape("y") == (1, 1, 1, 3)
    np.testing.assert_allclose(engine_outputs(network, inputs)["y"].ravel(), wanted, rtol=1e-5)


def test_what_is_refused() -> None:
    x = np.zeros((1, 2, 3, 3), np.float32)
    with pytest.raises(ShapeError, match="takes scores"):
        network_of(_text(), {"x": x, "label": np.zeros((1, 1, 3, 2))})
    inputs = {"x": x, "label": np.full((1, 1, 3, 3), 255, np.float32)}
    with pytest.raises(EngineError, match="a label is none of the 2 classes"):
        engine_outputs(network_of(_text(), inputs), inputs)
