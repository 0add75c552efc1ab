"""DetectionOutput against OpenCV, by hand, and at its limits."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError, LoweringError, ShapeError
from caffezoo.net.onnx_graph import to_onnx
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.opencv_runs import assert_matches_opencv, engine_outputs, network_of
from tests.opencv_oracle import requires_opencv
from tests.oracle import onnx_outputs

NONE = [-1.0] * 6


def _text(param: str, bottoms: str = "loc conf priors") -> str:
    names = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return f'name: "d" type: "DetectionOutput" {names} top: "d" detection_output_param {{ {param} }}'


def _bottoms(seed: int, batch: int, priors: int, classes: int, locs: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 0.7, (priors, 2)), rng.uniform(0.1, 0.5, (priors, 2))
    boxes = np.concatenate([corner, corner + side], 1)
    scores = rng.dirichlet(np.ones(classes) * 0.4, (batch, priors))
    return {
        "loc": rng.normal(0, 1, (batch, priors * locs * 4)).astype(np.float32),
        "conf": scores.reshape(batch, -1).astype(np.float32),
        "priors": np.stack([boxes.ravel(), np.tile([0.1, 0.1, 0.2, 0.2], priors)])[None].astype(np.float32),
    }


@requires_opencv
@cases(40)
@given(
    SEEDS,
    st.integers(1, 3),
    st.integers(1, 60),
    st.integers(2, 5),
    st.booleans(),
    st.sampled_from(["CORNER", "CENTER_SIZE"]),
    st.sampled_from([1, 7, 400, 10**9]),
    st.sampled_from([1, 5, 200]),
    st.sampled_from([0.01, 0.3]),
    st.sampled_from([0.3, 0.45, 0.7]),
    st.booleans(),
)
def test_detections_match_opencv(
    seed: int,
    batch: int,
    priors: int,
    classes: int,
    shared: bool,
    code: str,
    top_k: int,
    keep: int,
    threshold: float,
    nms: float,
    clip: bool,
) -> None:
    text = _text(
        f"num_classes: {classes} share_location: {shared} background_label_id: 0 code_type: {code} "
        f"keep_top_k: {keep} confidence_threshold: {threshold} clip: {clip} "
        f"nms_param {{ nms_threshold: {nms} top_k: {top_k} }}".replace("True", "true").replace("False", "false")
    )
    bottoms = _bottoms(seed, batch, priors, classes, 1 if shared else classes)
    assert_matches_opencv(text, bottoms, exports=True)


def _run(param: str, bottoms: dict[str, np.ndarray], names: str = "loc conf priors") -> np.ndarray:
    return engine_outputs(network_of(_text(param, names), bottoms), bottoms)["d"][0, 0]


def _three(scores: list[float]) -> dict[str, np.ndarray]:
    """Return three priors: the first two overlap by 0.8 of their union, the third lies apart."""
    boxes = [0.0, 0.0, 0.4, 0.5, 0.0, 0.0, 0.5, 0.5, 0.6, 0.6, 0.9, 0.9]
    return {
        "loc": np.zeros((1, 12), np.float32),
        "conf": np.array([[v for s in scores for v in (1 - s, s)]], np.float32),
        "priors": np.array([[boxes, [0.1] * 12]], np.float32),
    }


def test_the_better_of_two_that_overlap_stays() -> None:
    found = _run("num_classes: 2 nms_param { nms_threshold: 0.5 }", _three([0.6, 0.7, 0.4]))
    np.testing.assert_allclose(found[:, :3], [[0, 1, 0.7], [0, 1, 0.4]], atol=1e-6)
    np.testing.assert_allclose(found[0, 3:], [0, 0, 0.5, 0.5], atol=1e-6)


def test_eta_lowers_the_threshold_after_every_box_that_stays() -> None:
    """Overlap 0.8 is within 0.85, and above 0.85 x 0.9."""
    param = "num_classes: 2 nms_param {{ nms_threshold: 0.85 eta: {} }}"
    assert len(_run(param.format(1), _three([0.6, 0.7, 0.4]))) == 3
    assert len(_run(param.format(0.9), _three([0.6, 0.7, 0.4]))) == 2


@pytest.mark.parametrize(("encoded", "shift"), [("false", 0.02), ("true", 0.2)])
def test_variances_stand_in_the_targets_or_multiply_the_offsets(encoded: str, shift: float) -> None:
    bottoms = _three([0.1, 0.1, 0.9])
    bottoms["loc"][0, 8:] = 0.2
    param = f"num_classes: 2 code_type: CORNER confidence_threshold: 0.5 variance_encoded_in_target: {encoded}"
    np.testing.assert_allclose(_run(param, bottoms)[0, 3:], np.array([0.6, 0.6, 0.9, 0.9]) + shift, atol=1e-6)


def test_corner_size_is_in_units_of_the_prior() -> None:
    bottoms = _three([0.1, 0.1, 0.9])
    bottoms["loc"][0, 8:] = 1, -1, 2, 0
    found = _run("num_classes: 2 code_type: CORNER_SIZE confidence_threshold: 0.5", bottoms)
    np.testing.assert_allclose(found[0, 3:], [0.63, 0.57, 0.96, 0.9], atol=1e-6)


def test_where_nothing_is_left_stands_a_row_of_minus_one_an_image() -> None:
    bottoms = {k: np.repeat(v, 2, 0) if k != "priors" else v for k, v in _three([0.6, 0.7, 0.4]).items()}
    found = _run("num_classes: 2 confidence_threshold: 0.9", bottoms)
    assert found.tolist() == [[0.0, *NONE], [1.0, *NONE]]


def test_refinedet_takes_its_first_stage() -> None:
    """The first stage turns a prior down, and moves another that the second stage's offsets then start from."""
    bottoms = _three([0.9, 0.8, 0.7])
    bottoms["arm_conf"] = np.array([[1, 0, 0.5, 0.5, 0.5, 0.5]], np.float32)
    bottoms["arm_loc"] = np.zeros((1, 12), np.float32)
    bottoms["arm_loc"][0, 8] = 1  # x by 0.1 of its width, 0.3
    param = "num_classes: 2 code_type: CENTER_SIZE confidence_threshold: 0.1 objectness_score: 0.01"
    found = _run(param, bottoms, "loc conf priors arm_conf arm_loc")
    np.testing.assert_allclose(found[:, 2], [0.8, 0.7], atol=1e-6)
    np.testing.assert_allclose(found[1, 3:], [0.63, 0.6, 0.93, 0.9], atol=1e-6)


def test_nan_offsets_are_one_clear_line() -> None:
    bottoms = _three([0.6, 0.7, 0.4])
    bottoms["loc"][0, 3] = np.nan
    layer = network_of(_text("num_classes: 2"), bottoms).nodes[-1].layer
    with pytest.raises(EngineError, match=r"layer 'd' .*bottom 'loc' holds 1 value\(s\) of 12 that are not finite"):
        layer.host(list(bottoms.values()), ())
    bottoms["loc"][0, 2:4] = 1e4
    with pytest.raises(EngineError, match="a box of class 1 is not finite"):
        _run("num_classes: 2 code_type: CENTER_SIZE", bottoms)


def test_too_many_candidates_are_refused_and_a_top_k_of_a_billion_is_not() -> None:
    """Far more boxes than suppression takes, none of which overlap."""
    count = 60_000
    grid = np.arange(count) / count
    boxes = np.stack([grid, grid * 0, grid + 0.5 / count, grid * 0 + 1], 1)
    bottoms = {
        "loc": np.zeros((1, 4 * count), np.float32),
        "conf": np.tile([0.4, 0.6], count)[None].astype(np.float32),
        "priors": np.stack([boxes.ravel(), np.full(4 * count, 0.1)])[None].astype(np.float32),
    }
    start = time.perf_counter()
    with pytest.raises(EngineError, match=r"60000 boxes of class 1 .* the limit is 50000; give nms_param"):
        _run("num_classes: 2 nms_param { top_k: 1000000000 } keep_top_k: 1000000000", bottoms)
    found = _run("num_classes: 2 nms_param { top_k: 400 } keep_top_k: 1000000000", bottoms)
    assert found.shape == (400, 7)
    assert time.perf_counter() - start < 30


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("", "has no num_classes"),
        ("num_classes: 3", "bottom 1 has shape .* 3 priors and 3 classes want"),
        ("num_classes: 2 share_location: false", "bottom 0 has shape"),
        ("num_classes: 2 nms_param { eta: 0 }", "takes eta above 0"),
    ],
)
def test_refusals(param: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        network_of(_text(param), _three([0.6, 0.7, 0.4]))


def test_what_has_no_onnx_form_says_so() -> None:
    bottoms = _three([0.6, 0.7, 0.4])
    with pytest.raises(LoweringError, match=r"layer 'd' .*eta below 1"):
        to_onnx(network_of(_text("num_classes: 2 nms_param { eta: 0.9 }"), bottoms))


def test_ground_truth_as_a_fourth_bottom_is_not_read() -> None:
    bottoms = _three([0.6, 0.7, 0.4])
    wanted = _run("num_classes: 2", bottoms)
    bottoms["label"] = np.ones((1, 1, 1, 8), np.float32)
    np.testing.assert_array_equal(_run("num_classes: 2", bottoms, "loc conf priors label"), wanted)


def test_detections_are_those_that_opencv_gave() -> None:
    """Recorded of opencv-python-headless 4.12.0.88."""
    param = (
        "num_classes: 4 share_location: true background_label_id: 0 code_type: CENTER_SIZE keep_top_k: 4 "
        "confidence_threshold: 0.2 nms_param { nms_threshold: 0.4 top_k: 10 }"
    )
    wanted = [
        [0, 2, 0.969649, 0.0587776, 0.640741, 0.417897, 0.881281],
        [0, 2, 0.943509, 0.255268, 0.26456, 0.850538, 0.553306],
        [0, 3, 0.927366, 0.3928, 0.216972, 0.583814, 0.578061],
        [0, 1, 0.847054, 0.278416, 0.582884, 0.564847, 1.10701],
        [1, 3, 0.945078, 0.280563, 0.764285, 0.499327, 1.11395],
        [1, 2, 0.885241, 0.251655, 0.0430982, 0.618316, 0.296393],
        [1, 3, 0.849516, 0.119201, 0.665147, 0.514432, 0.897864],
        [1, 3, 0.82858, 0.0310345, 0.252896, 0.160148, 0.553697],
    ]
    bottoms = _bottoms(5, 2, 30, 4)
    np.testing.assert_allclose(_run(param, bottoms), wanted, atol=1e-5)
    for runtime, found in onnx_outputs(to_onnx(network_of(_text(param), bottoms)), bottoms).items():
        np.testing.assert_allclose(found["d"][0, 0], wanted, atol=1e-5, err_msg=runtime)


@cases(20)
@given(SEEDS, st.integers(1, 2), st.integers(1, 12), st.booleans())
def test_polygons_follow_their_boxes(seed: int, batch: int, priors: int, shared: bool) -> None:
    classes, rng = 3, np.random.default_rng(seed)
    bottoms = _bottoms(seed, batch, priors, classes, 1 if shared else classes)
    boxes = bottoms["loc"].reshape(batch, priors, -1, 4)
    corners = rng.normal(0, 1, (*boxes.shape[:3], 8)).astype(np.float32)
    param = (
        f"num_classes: {classes} share_location: {str(shared).lower()} code_type: CENTER_SIZE keep_top_k: 9 "
        "confidence_threshold: 0.2 nms_param { nms_threshold: 0.5 top_k: 50 }"
    )
    wanted = _run(param, bottoms)
    both = {**bottoms, "loc": np.concatenate([boxes, corners], 3).reshape(batch, -1)}
    found = _run(f"{param} use_polygon: true", both)
    np.testing.assert_array_equal(found[:, :7], wanted)
    sides = bottoms["priors"][0, 0].reshape(priors, 4).astype(float)
    for row in found:
        if row[1] < 0:
            np.testing.assert_array_equal(row[7:], -1)
            continue
        label = int(row[1])
        scores = bottoms["conf"].reshape(batch, priors, classes)[int(row[0]), :, label]
        k = int(np.flatnonzero(scores == row[2])[0])
        x1, y1, x2, y2 = sides[k]
        offsets = corners[int(row[0]), k, 0 if shared else label].reshape(4, 2) * 0.1 * [x2 - x1, y2 - y1]
        plain = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        np.testing.assert_allclose(row[7:].reshape(4, 2), plain + offsets, atol=1e-5)


@pytest.mark.parametrize("more", ["code_type: CORNER", "code_type: CENTER_SIZE variance_encoded_in_target: true"])
def test_polygons_of_other_codes_are_refused(more: str) -> None:
    with pytest.raises(ShapeError, match="use_polygon takes code_type CENTER_SIZE"):
        network_of(_text(f"num_classes: 2 use_polygon: true {more}"), _bottoms(0, 1, 4, 2))
