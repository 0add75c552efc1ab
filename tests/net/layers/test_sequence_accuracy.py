"""Accuracy of lines of text against loops, and what is refused."""

from __future__ import annotations

from functools import cache
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.opencv_runs import engine_outputs, network_of


def _text(kind: str, param: str = "", tops: str = "accuracy") -> str:
    named = " ".join(f'top: "{top}"' for top in tops.split())
    return f'name: "l" type: "{kind}" bottom: "x" bottom: "label" {named} {param}'


@cases(20)
@given(
    SEEDS,
    st.integers(0, 2),
    st.sampled_from(["labelsequence_accuracy_param", "sequence_accuracy_param", "Sequence_accuracy_param"]),
)
def test_lines_are_decoded_greedily(seed: int, blank: int, param: str) -> None:
    rng = np.random.default_rng(seed)
    lines, steps = 12, 3
    scores = rng.uniform(0, 1, (lines, steps, 3)).astype(np.float32)
    labels = rng.integers(0, 3, (lines, 2)).astype(np.float32)
    kind = "LabelsequenceAccuracy" if param.startswith("label") else "SequenceAccuracy"
    network = network_of(_text(kind, f"{param} {{ blank_label: {blank} }}"), {"x": scores, "label": labels})
    right = 0
    for line, truth in zip(scores, labels, strict=True):
        read = [k for k, _ in groupby(int(step.argmax()) for step in line) if k != blank]
        right += read == [int(k) for k in truth if k != blank]
    found = engine_outputs(network, {"x": scores, "label": labels})["accuracy"]
    np.testing.assert_allclose(found, right / lines, rtol=1e-6)


def _edits(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Return the edit distance by its definition."""

    @cache
    def rest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return len(a) - i + len(b) - j
        return min(rest(i + 1, j + 1) + (a[i] != b[j]), rest(i + 1, j) + 1, rest(i, j + 1) + 1)

    return rest(0, 0)


@cases(20)
@given(SEEDS, st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_lines_are_compared_by_their_edits(seed: int, tops: int, long: int, wide: int) -> None:
    rng = np.random.default_rng(seed)
    x, label = (rng.integers(-1, 3, (4, n)).astype(np.float32) for n in (long, wide))
    names = "accuracy edits kept".split()[:tops]
    network = network_of(_text("SequenceAccuracy", tops=" ".join(names)), {"x": x, "label": label})
    found = engine_outputs(network, {"x": x, "label": label})
    pairs = []
    for line in zip(x, label, strict=True):
        pairs.append(tuple(tuple(int(v) for v in w[: [*(w < 0), True].index(True)]) for w in line))
    wanted = {
        "accuracy": np.mean([a == b for a, b in pairs]),
        "edits": np.mean([(_edits(a, b), len(b), len(a)) for a, b in pairs], axis=0),
    }
    for name in names[:2]:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6)
    if tops == 3:  # what is kept stands in both lines, and every other character costs at most one edit
        most = np.mean([(len(a) + len(b) - _edits(a, b)) / 2 for a, b in pairs])
        least = np.mean([(len(a) + len(b)) / 2 - _edits(a, b) for a, b in pairs])
        assert least - 1e-6 <= found["kept"] <= most + 1e-6


@pytest.mark.parametrize(
    ("found", "truth", "kept"),
    [("012", "012", 3), ("01", "012", 2), ("0112", "012", 3), ("21", "12", 1), ("0", "1", 0)],
)
def test_characters_that_the_shortest_edit_keeps(found: str, truth: str, kept: int) -> None:
    inputs = {"x": np.array([[*map(int, found)]], np.float32), "label": np.array([[*map(int, truth)]], np.float32)}
    network = network_of(_text("SequenceAccuracy", tops="accuracy edits kept"), inputs)
    assert engine_outputs(network, inputs)["kept"] == kept


def test_what_is_refused() -> None:
    lines, label = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
    scores = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(ShapeError, match="takes scores"):
        network_of(_text("LabelsequenceAccuracy"), {"x": lines, "label": label})
    with pytest.raises(ShapeError, match="takes lines"):
        network_of(_text("SequenceAccuracy"), {"x": scores, "label": label})
    with pytest.raises(ShapeError, match="vote over steps"):
        network_of(_text("SequenceAccuracy", "accuracy_param { top_k: 1 }"), {"x": scores, "label": label})
    with pytest.raises(ShapeError, match="more than can be compared"):
        network_of(_text("SequenceAccuracy"), {"x": np.zeros((1, 4000)), "label": np.zeros((1, 4000))})
