"""Classes of public Python modules that run without their code: by loops as the modules have them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffezoo.errors import EngineError, ShapeError
from caffezoo.net.layers.python_clusters import group_rectangles
from tests.engines.networks import requires_torch
from tests.net.layers.opencv_runs import engine_outputs, network_of


def python(name: str, bottoms: int, tops: int, settings: str = "") -> str:
    module, _, layer = name.rpartition(".")
    names = "".join(f' bottom: "x{k}"' for k in range(bottoms)) + "".join(f' top: "y{k}"' for k in range(tops))
    param = f'module: "{module}" layer: "{layer}" param_str: "{settings}"'
    return f'name: "p" type: "Python" {names} python_param {{ {param} }}'


def run(text: str, *bottoms: np.ndarray, engine: str = "onnxruntime") -> list[np.ndarray]:
    inputs = {f"x{k}": np.asarray(x, np.float32) for k, x in enumerate(bottoms)}
    found = engine_outputs(network_of(text, inputs), inputs, engine)
    return [found[name] for name in sorted(found)]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    both = max(width, 0) * max(height, 0)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return both / (sum(areas) - both)


def moves(a: np.ndarray, b: np.ndarray) -> list[float]:
    w, h, v, g = a[2] - a[0] + 1, a[3] - a[1] + 1, b[2] - b[0] + 1, b[3] - b[1] + 1
    dx, dy = (b[0] + v / 2 - a[0] - w / 2) / w, (b[1] + g / 2 - a[1] - h / 2) / h
    return [dx, dy, math.log(v / w), math.log(g / h)]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", pytest.param("torch", marks=requires_torch)])
@pytest.mark.parametrize("name", ["norm2layer.Norm2Layer", "triplet.l2norm_layer.L2NormLayer"])
def test_rows_at_length_one(name: str, engine: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    x[1] = 0
    (found,) = run(python(name, 1, 1), x, engine=engine)
    lengths = [math.sqrt(sum(v * v for v in row)) or 1 for row in x.astype(float).tolist()]
    np.testing.assert_allclose(found, x / np.array(lengths)[:, None], rtol=1e-5, atol=1e-6)


def test_the_loss_of_caffes_own_example() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 4, 3, 1))
    (found,) = run(python("pyloss.EuclideanLossLayer", 2, 1), a, b)
    np.testing.assert_allclose(found, [((a - b) ** 2).sum() / 8], rtol=1e-5)


def test_proposals_of_a_face_detector_are_not_suppressed() -> None:
    rng = np.random.default_rng(2)
    scores, shifts = rng.uniform(size=(1, 4, 3, 4)), rng.normal(0, 0.2, (1, 8, 3, 4))
    text = python("SSH.layers.proposal_layer.ProposalLayer", 3, 2, "{'feat_stride': 8,'scales': [1,2], 'ratios':[1,]}")
    regions, found = run(text, scores, shifts, [[24, 32, 1]])
    wanted = []
    for y, x, k in np.ndindex(3, 4, 2):
        side = 16 * (k + 1)
        left, top = 8 * x + 8 - side / 2, 8 * y + 8 - side / 2
        dx, dy, dw, dh = shifts[0, 4 * k : 4 * k + 4, y, x]
        cx, cy, w, h = left + side / 2 + dx * side, top + side / 2 + dy * side, side * math.exp(dw), side * math.exp(dh)
        box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
        box = [min(max(v, 0), limit) for v, limit in zip(box, (31, 23, 31, 23), strict=True)]
        wanted.append((scores[0, 2 + k, y, x], 0, *box))
    wanted.sort(reverse=True)
    np.testing.assert_allclose(found.ravel(), [row[0] for row in wanted], rtol=1e-6)
    np.testing.assert_allclose(regions, [row[1:] for row in wanted], rtol=1e-4, atol=1e-3)


def test_strips_of_text() -> None:
    rng = np.random.default_rng(3)
    scores, shifts = rng.uniform(size=(1, 20, 2, 3)), rng.normal(0, 0.2, (1, 20, 2, 3))
    text = python("layers.text_proposal_layer.ProposalLayer", 3, 2, "'feat_stride': 16")
    boxes, found = run(text, scores, shifts, [[30, 40, 1]])
    rows = 0
    for y, x in np.ndindex(2, 3):
        for k, height in enumerate((11, 16, 23, 33, 48, 68, 97, 139, 198, 283)):
            top, bottom = (16 * y + int(7.5 + sign * (height // 2)) for sign in (-1, 1))
            tall = math.exp(shifts[0, 2 * k + 1, y, x]) * (bottom - top + 1)
            high = shifts[0, 2 * k, y, x] * (bottom - top + 1) + (top + bottom) / 2 - tall / 2
            box = [16 * x, high, 16 * x + 15, high + tall]
            box = [min(max(v, 0), limit) for v, limit in zip(box, (39, 29, 39, 29), strict=True)]
            np.testing.assert_allclose(boxes[rows], box, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(found[rows, 0], scores[0, 10 + k, y, x], rtol=1e-6)
            rows += 1
    assert boxes.shape == (rows, 4)


def test_anchors_that_are_right_and_wrong() -> None:
    true = np.array([[20, 10, 150, 140, 3], [60, 60, 190, 100, 1]], float)
    text = python("rpn.anchor_target_layer.AnchorTargetLayer", 3, 4, "'feat_stride': 16")
    labels, targets, inside, outside = run(text, np.zeros((1, 18, 12, 13)), true, [[192, 208, 1]])
    anchors = [
        (-84, -40, 99, 55), (-176, -88, 191, 103), (-360, -184, 375, 199), (-56, -56, 71, 71), (-120, -120, 135, 135),
        (-248, -248, 263, 263), (-36, -80, 51, 95), (-80, -168, 95, 183), (-168, -344, 183, 359),
    ]  # fmt: skip
    rows = {}
    for k, y, x in np.ndindex(9, 12, 13):
        box = np.array(anchors[k]) + 16 * np.array([x, y, x, y])
        if min(box[:2]) >= 0 and box[2] < 208 and box[3] < 192:
            rows[k, y, x] = box, [overlap(box, t) for t in true]
    best = [max(shared[g] for _, shared in rows.values()) for g in range(2)]
    counted = sum(labels.ravel() >= 0)
    assert sum(labels.ravel() == 1) >= 1
    assert counted <= 256
    for k, y, x in np.ndindex(9, 12, 13):
        label = labels[0, 0, 12 * k + y, x]
        values = [t[0, 4 * k : 4 * k + 4, y, x] for t in (targets, inside, outside)]
        if (k, y, x) not in rows:
            assert label == -1
            assert not np.any(values)
            continue
        box, shared = rows[k, y, x]
        right = max(shared) >= 0.7 or any(s == b for s, b in zip(shared, best, strict=True))
        assert label == (1 if right else 0 if max(shared) < 0.3 else -1)
        np.testing.assert_allclose(values[0], moves(box, true[np.argmax(shared)]), rtol=1e-4, atol=1e-5)
        assert values[1].tolist() == [float(right)] * 4
        np.testing.assert_allclose(values[2], (label >= 0) / counted, rtol=1e-6)


def test_too_many_anchors_are_drawn_the_same_twice() -> None:
    text = python("rpn.anchor_target_layer.AnchorTargetLayer", 3, 4, "'feat_stride': 4\\n'scales': [1, 2, 4]")
    given = (np.zeros((1, 18, 40, 40)), [[10, 10, 40, 40, 1]], [[160, 160, 1]])
    labels = run(text, *given)[0]
    assert (labels >= 0).sum() == 256
    np.testing.assert_array_equal(labels, run(text, *given)[0])


def test_the_hardest_anchors_of_a_face_detector_count() -> None:
    settings = "{'feat_stride': 4,'scales': [1,2], 'ratios':[1,], 'allowed_border': 512}"
    text = python("SSH.layers.anchor_target_layer.AnchorTargetLayer", 5, 4, settings)
    scores = np.random.default_rng(4).uniform(size=(1, 4, 40, 40))
    true = np.array([[10, 10, 40, 40, 1]], float)
    labels = run(text, scores, true, [[160, 160, 1]], np.zeros((1, 3, 8, 8)), scores)[0]
    shared = np.zeros((2, 40, 40))
    for k, y, x in np.ndindex(2, 40, 40):
        side = 8 * (k + 1)
        centre = 7.5 + 4 * np.array([x, y, x, y])
        shared[k, y, x] = overlap(centre + np.array([-side, -side, side, side]) + (0.5, 0.5, -0.5, -0.5), true[0])
    right, wrong = shared >= 0.5, shared < 0.3
    assert right.sum() <= 64
    wanted = np.where(right, 1, -1)
    hardest = np.sort(scores[0, 2:][wrong])[::-1][256 - right.sum() - 1]
    wanted[wrong & (scores[0, 2:] >= hardest)] = 0
    np.testing.assert_array_equal(labels.reshape(2, 40, 40), wanted)


def test_regions_to_train_a_detector_on() -> None:
    true = np.array([[20, 10, 150, 140, 3], [60, 60, 190, 100, 1]], float)
    regions = np.array([[0, 25, 15, 150, 140], [0, 0, 0, 15, 15], [0, 55, 58, 180, 108]], float)
    text = python("rpn.proposal_target_layer.ProposalTargetLayer", 2, 5, "'num_classes': 4")
    kept, labels, targets, inside, outside = run(text, regions, true)
    every = [*regions[:, 1:].tolist(), *true[:, :4].tolist()]
    assert [tuple(r[1:]) for r in kept.tolist()] == [tuple(every[k]) for k in (0, 2, 3, 4, 1)]
    assert labels.tolist() == [3, 1, 3, 1, 0]
    wanted = np.zeros((5, 4, 4))
    for row, (region, box) in enumerate([(0, 0), (2, 1), (3, 0), (4, 1)]):
        wanted[row, int(true[box, 4])] = np.array(moves(np.array(every[region]), true[box])) / (0.1, 0.1, 0.2, 0.2)
    np.testing.assert_allclose(targets.reshape(5, 4, 4), wanted, rtol=1e-4, atol=1e-5)
    assert inside.sum() == 16
    np.testing.assert_array_equal(inside, outside)


def test_a_true_box_of_a_class_beyond_them_is_refused() -> None:
    text = python("rpn.proposal_target_layer.ProposalTargetLayer", 2, 5, "'num_classes': 2")
    with pytest.raises(EngineError, match="of class 3, num_classes is 2"):
        run(text, [[0, 0, 0, 9, 9]], [[0, 0, 9, 9, 3]])


def test_similar_rectangles_become_their_mean() -> None:
    one = [[10, 10, 40, 40], [11, 10, 40, 41], [10, 11, 41, 40], [12, 12, 40, 40]]
    alone = [[100, 100, 30, 30], [101, 100, 30, 30]]
    inner = [[20, 20, 20, 20]] * 3
    means, votes = group_rectangles(np.array([*one, *alone, *inner], float), 2, 0.2)
    assert means.tolist() == [[11, 11, 40, 40]]  # the inner one is of fewer votes than the group around it
    assert votes.tolist() == [4]
    means, votes = group_rectangles(np.array(inner, float), 0, 0.2)
    assert (means.tolist(), votes.tolist()) == (inner, [1, 1, 1])


def test_boxes_of_a_grid_are_voted_for() -> None:
    coverage, boxes = np.zeros((2, 1, 4, 6)), np.zeros((2, 4, 4, 6))
    for y, x in ((1, 1), (1, 2), (2, 1), (2, 2)):  # four cells see one box, in their own coordinates
        coverage[0, 0, y, x] = 0.9
        boxes[0, :, y, x] = np.array([20, 18, 50, 60]) - 16 * np.array([x, y, x, y])
    coverage[0, 0, 3, 5] = 0.9  # one vote is too few
    boxes[0, :, 3, 5] = (0, 0, 10, 40)
    found, true = (
        run(python(f"caffe.layers.detectnet.clustering.{name}", 2, 1, f"96, 64, 16{settings}"), coverage, boxes)[0]
        for name, settings in (("ClusterDetections", ", 0.6, 3, 0.02, 22, 1"), ("ClusterGroundtruth", ""))
    )
    assert found.shape == true.shape == (2, 50, 5)
    np.testing.assert_allclose(found[0, 0], [20, 18, 50, 60, np.float16(math.log(4))])
    assert true[0, :3].tolist() == [[20, 18, 50, 60, 0], [80, 48, 90, 88, 0], [0] * 5]
    assert not found[0, 1:].any()
    assert not found[1].any()


def test_detections_are_told_apart() -> None:
    true, found = np.zeros((1, 50, 5)), np.zeros((1, 50, 5))
    true[0, :2] = [[10, 10, 50, 50, 0], [100, 100, 120, 120, 0]]
    found[0, :3] = [[0, 0, 5, 5, 1], [10, 10, 50, 48, 2], [11, 10, 50, 50, 3]]
    (marked,) = run(python("caffe.layers.detectnet.mean_ap.ScoreDetections", 2, 1), true, found)
    assert marked[0, :5].tolist() == [
        [10, 10, 50, 48, 1],
        [0, 0, 5, 5, 2],
        [11, 10, 50, 50, 2],
        [100, 100, 120, 120, 3],
        [0] * 5,
    ]
    scores = run(python("caffe.layers.detectnet.mean_ap.mAP", 1, 3, "96, 64, 16"), marked)
    np.testing.assert_allclose(np.ravel(scores), [100 / 3 * 50 / 100, 100 / 3, 50], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "shapes"),
    [
        ("caffe.layers.detectnet.clustering.ClusterDetections", "96, 64", [(1, 1, 4, 6), (1, 4, 4, 6)]),
        ("caffe.layers.detectnet.clustering.ClusterDetections", "many", [(1, 1, 4, 6), (1, 4, 4, 6)]),
        ("caffe.layers.detectnet.clustering.ClusterGroundtruth", "96, 64, 16, 2", [(1, 1, 4, 6), (1, 4, 4, 6)]),
        ("norm2layer.Norm2Layer", "", [(1, 2, 3)]),
        ("pyloss.EuclideanLossLayer", "", [(2, 3), (2, 4)]),
        ("layers.text_proposal_layer.ProposalLayer", "'feat_stride': 0", [(1, 20, 2, 2), (1, 20, 2, 2), (1, 3)]),
        ("rpn.anchor_target_layer.AnchorTargetLayer", "'feat_stride': 16", [(2, 18, 2, 2), (1, 5), (1, 3)]),
        ("rpn.proposal_target_layer.ProposalTargetLayer", "", [(2, 5), (1, 5)]),
    ],
)
def test_what_does_not_fit_is_refused(name: str, settings: str, shapes: list[tuple[int, ...]]) -> None:
    tops = {"AnchorTargetLayer": 4, "ProposalTargetLayer": 5}.get(name.rpartition(".")[2], 1)
    tops = 2 if "text" in name else tops
    with pytest.raises(ShapeError, match=r"layer 'p' \(Python\)"):
        run(python(name, len(shapes), tops, settings), *(np.zeros(s) for s in shapes))
