"""Proposal and its Python form: against OpenCV, against loops, and at their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError, LoweringError, ShapeError
from caffezoo.net.layers.proposal import make_anchors
from caffezoo.net.onnx_graph import to_onnx
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.opencv_runs import engine_outputs, network_of
from tests.opencv_oracle import opencv_outputs, requires_opencv

NAMES = 'bottom: "s" bottom: "d" bottom: "info" top: "rois"'


def _text(param: str, tops: str = "") -> str:
    return f'name: "p" type: "Proposal" {NAMES} {tops} proposal_param {{ {param} }}'


def _python(settings: str, tops: str = "") -> str:
    module = 'module: "rpn.proposal_layer" layer: "ProposalLayer"'
    return f'name: "p" type: "Python" {NAMES} {tops} python_param {{ {module} param_str: "{settings}" }}'


def _bottoms(seed: int, anchors: int = 9, rows: int = 5, columns: int = 6, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "s": rng.uniform(0, 1, (1, 2 * anchors, rows, columns)).astype(np.float32),
        "d": rng.normal(0, 0.3, (1, 4 * anchors, rows, columns)).astype(np.float32),
        "info": np.array([[rows * 16, columns * 16, scale]], np.float32),
    }


def proposals_by_loops(
    bottoms: dict[str, np.ndarray], before: int, after: int, overlap: float, smallest: float, drops: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return regions and scores as Faster R-CNN's loops have them, for its nine anchors and stride 16."""
    anchors = [
        (-84, -40, 99, 55), (-176, -88, 191, 103), (-360, -184, 375, 199), (-56, -56, 71, 71), (-120, -120, 135, 135),
        (-248, -248, 263, 263), (-36, -80, 51, 95), (-80, -168, 95, 183), (-168, -344, 183, 359),
    ]  # fmt: skip
    height, width, scale = (float(v) for v in bottoms["info"][0, :3])
    found = []
    for y in range(bottoms["s"].shape[2]):
        for x in range(bottoms["s"].shape[3]):
            for k, anchor in enumerate(anchors):
                x1, y1, x2, y2 = (a + 16 * (x, y)[i % 2] for i, a in enumerate(anchor))
                dx, dy, dw, dh = (float(v) for v in bottoms["d"][0, 4 * k : 4 * k + 4, y, x])
                w, h = x2 - x1 + 1, y2 - y1 + 1
                cx, cy = dx * w + x1 + w / 2, dy * h + y1 + h / 2
                w, h = math.exp(dw) * w, math.exp(dh) * h
                box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                box = [min(max(v, 0), (width, height)[i % 2] - 1) for i, v in enumerate(box)]
                large = min(box[2] - box[0], box[3] - box[1]) + 1 >= smallest * scale
                score = float(bottoms["s"][0, 9 + k, y, x])
                if large or not drops:
                    found.append((score if large else 0.0, box))
    found.sort(key=lambda pair: -pair[0])
    kept: list[tuple[float, list[float]]] = []
    for score, box in found[:before]:
        if all(_share(box, other) <= overlap for _, other in kept):
            kept.append((score, box))
    kept = kept[:after]
    return np.array([[0, *box] for _, box in kept]), np.array([score for score, _ in kept])


def _share(a: list[float], b: list[float]) -> float:
    w, h = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1, 0) for i in (0, 1))
    sizes = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return w * h / (sum(sizes) - w * h)


@cases(20)
@given(
    SEEDS, st.sampled_from([20, 6000]), st.sampled_from([3, 300]), st.sampled_from([0.3, 0.7]),
    st.sampled_from([1.0, 2.5]),
)  # fmt: skip
def test_proposals_match_loops(seed: int, before: int, after: int, overlap: float, scale: float) -> None:
    bottoms = _bottoms(seed, scale=scale)
    param = f"pre_nms_topn: {before} post_nms_topn: {after} nms_thresh: {overlap} min_size: 16"
    rois, scores = proposals_by_loops(bottoms, before, after, overlap, 16, drops=False)
    found = engine_outputs(network_of(_text(param, 'top: "scores"'), bottoms), bottoms)
    np.testing.assert_allclose(found["rois"], rois, atol=1e-3)
    np.testing.assert_allclose(found["scores"], scores, atol=1e-6)


def test_the_python_layer_drops_small_boxes_and_is_known_without_its_code() -> None:
    bottoms = _bottoms(1, scale=3.0)
    wanted = proposals_by_loops(bottoms, 6000, 300, 0.7, 16, drops=True)
    kept_small = proposals_by_loops(bottoms, 6000, 300, 0.7, 16, drops=False)
    assert len(wanted[0]) < len(kept_small[0])
    for settings in ("'feat_stride': 16", "{'feat_stride': 16, 'scales': [8, 16, 32]}"):
        found = engine_outputs(network_of(_python(settings, 'top: "scores"'), bottoms), bottoms)
        np.testing.assert_allclose(found["rois"], wanted[0], atol=1e-3)
        np.testing.assert_allclose(found["scores"][:, 0], wanted[1], atol=1e-6)


def test_scales_may_be_a_tuple_of_python() -> None:
    network = network_of(_python("'feat_stride': 16 \\n'scales': !!python/tuple [4, 8]"), _bottoms(0, anchors=6))
    assert network.shape("rois") == (180, 5)


@requires_opencv
@cases(20)
@given(SEEDS, st.sampled_from([0.5, 0.7]), st.sampled_from([20, 300]))
def test_proposals_match_opencv(seed: int, overlap: float, after: int) -> None:
    """With boxes of every size: OpenCV has no min_size. It pads its regions with zeros."""
    bottoms = _bottoms(seed)
    param = f"pre_nms_topn: 6000 post_nms_topn: {after} nms_thresh: {overlap} min_size: 0 feat_stride: 16 base_size: 16"
    param += "".join(f" ratio: {r}" for r in (0.5, 1, 2)) + "".join(f" scale: {s}" for s in (8, 16, 32))
    network = network_of(_text(param), bottoms)
    wanted = opencv_outputs(network, bottoms, ["p"])["p"].reshape(-1, 5)
    found = engine_outputs(network, bottoms)["rois"]
    np.testing.assert_allclose(wanted[: len(found)], found, atol=2e-3)
    assert not wanted[len(found) :].any()


def test_anchors_are_those_of_the_source() -> None:
    anchors = make_anchors(16, (0.5, 1, 2), (8, 16, 32))
    assert anchors[0].tolist() == [-84, -40, 99, 55]
    assert anchors[4].tolist() == [-120, -120, 135, 135]
    assert anchors[8].tolist() == [-168, -344, 183, 359]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_text("feat_stride: 0"), "must be positive"),
        (_text("ratio: -1"), "must be positive"),
        (_text("ratio: 1"), "3 anchors take 6 and 12 channels, has 18 and 36"),
        (_text("post_nms_topn: 0"), "must be positive"),
        (_text(" ratio: 1" * 50 + " scale: 2" * 50), "takes up to 1000 anchors"),
        (_python("no stride"), "takes a positive feat_stride"),
        (_python("'feat_stride': x"), "feat_stride in param_str is no number"),
    ],
    ids=lambda text: text[:30],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        network_of(text, _bottoms(0))


def test_numbers_of_a_billion_are_bounded_by_the_anchors_there_are() -> None:
    bottoms = _bottoms(0)
    network = network_of(_text("pre_nms_topn: 2000000000 post_nms_topn: 2000000000"), bottoms)
    assert network.shape("rois") == (270, 5)
    assert len(engine_outputs(network, bottoms)["rois"]) <= 270


def test_values_without_an_answer_are_one_clear_line() -> None:
    bottoms = _bottoms(0)
    network = network_of(_text(""), bottoms)
    bottoms["d"][0, 2] = 1e4
    with pytest.raises(EngineError, match=r"layer 'p' \(Proposal\): a box is not finite: its offsets are too large"):
        engine_outputs(network, bottoms)
    with pytest.raises(LoweringError, match="no form in standard ONNX operators"):
        to_onnx(network)
