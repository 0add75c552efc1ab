"""BoxOutput, BoxGroupOutput and DecodeBBox, against the loops of their sources."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError, ShapeError
from tests.engines.networks import HERE
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.opencv_runs import engine_outputs, network_of

ENGINES = HERE
REGRESSION = (
    "bbox_mean: 0.1 bbox_mean: 0 bbox_mean: 0 bbox_mean: 0.2 bbox_std: 0.5 bbox_std: 0.5 bbox_std: 1 bbox_std: 1"
)
MEAN, STD = (0.1, 0, 0, 0.2), (0.5, 0.5, 1, 1)


def _share(a: list[float], b: list[float], kind: str, pixel: int) -> float:
    """Return how much of both boxes is shared; a is the better one."""
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    shared = 0.0 if min(sides) < 0 else (sides[0] + pixel) * (sides[1] + pixel)
    first, second = ((box[2] - box[0] + pixel) * (box[3] - box[1] + pixel) for box in (a, b))
    return shared / {"IOU": first + second - shared, "IOMU": min(first, second), "IOFU": first}[kind]


def _best(boxes: list[list[float]], kind: str, pixel: int, before: int, after: int) -> list[list[float]]:
    kept: list[list[float]] = []
    for box in sorted(boxes, key=lambda b: -b[4])[: before or None]:
        if all(_share(other, box, kind, pixel) <= 0.4 for other in kept):
            kept.append(box)
    return kept[: after or None]


@cases(15)
@given(SEEDS, st.sampled_from(["IOU", "IOMU", "IOFU"]), st.sampled_from([0, 15]), st.sampled_from([0, 4]))
def test_box_output_matches_loops(seed: int, kind: str, before: int, after: int) -> None:
    rng = np.random.default_rng(seed)
    bottoms = {f"b{k}": rng.normal(0, 1, (2, 7, 4 // k, 6 // k)).astype(np.float32) for k in (1, 2)}
    text = (
        'name: "l" type: "BoxOutput" bottom: "b1" bottom: "b2" top: "rois" top: "scored" box_output_param { '
        f'fg_thr: 0.2 iou_thr: 0.4 nms_type: "{kind}" field_h: 20 field_h: 40 field_w: 16 field_w: 30 '
        f"downsample_rate: 8 downsample_rate: 16 max_nms_num: {before} max_post_nms_num: {after} min_size: 9 }} "
        f"bbox_reg_param {{ {REGRESSION} }}"
    )
    rows = []
    for i in range(2):
        boxes = []
        for x, h, w, rate in ((bottoms["b1"][i], 20, 16, 8), (bottoms["b2"][i], 40, 30, 16)):
            for r in range(x.shape[1]):
                for c in range(x.shape[2]):
                    score = x[1:3, r, c].max() - x[0, r, c]
                    t = [float(x[3 + k, r, c]) * STD[k] + MEAN[k] for k in range(4)]
                    t[:2] = (min(max(v, -0.5), 0.5) for v in t[:2])
                    t[2:] = (min(max(v, -math.log(2)), math.log(2)) for v in t[2:])
                    bw, bh = w * math.exp(t[2]), h * math.exp(t[3])
                    bx = max(t[0] * w + (c + 0.5) * rate - bw / 2, 0)
                    by = max(t[1] * h + (r + 0.5) * rate - bh / 2, 0)
                    bw, bh = min(bw, x.shape[2] * rate - bx), min(bh, x.shape[1] * rate - by)
                    if score >= np.float32(0.2) and min(bw, bh) >= 9:
                        boxes.append([bx, by, bx + bw, by + bh, float(score)])
        rows += [[i, *box] for box in _best(boxes, kind, 0, before, after)]
    found = engine_outputs(network_of(text, bottoms), bottoms)
    np.testing.assert_allclose(found["scored"][..., 0, 0], rows, atol=1e-4)
    np.testing.assert_array_equal(found["rois"], found["scored"][:, :5])


@cases(15)
@given(SEEDS, st.sampled_from(["IOU", "IOMU", "IOFU"]), st.sampled_from([0, 15]), st.sampled_from([0, 4]))
def test_box_group_output_matches_loops(seed: int, kind: str, before: int, after: int) -> None:
    rng = np.random.default_rng(seed)
    bottoms = {
        "s": rng.uniform(0, 1, (4, 2, 3, 4)).astype(np.float32),
        "d": rng.normal(0, 1, (4, 4, 3, 4)).astype(np.float32),
    }
    text = (
        'name: "l" type: "BoxGroupOutput" bottom: "s" bottom: "d" top: "rois" top: "scored" box_group_output_param { '
        f'fg_thr: 0.3 iou_thr: 0.4 nms_type: "{kind}" max_nms_num: {before} max_post_nms_num: {after} min_size: 9.3 '
        "box_group_param { stride: 8 field_h: 12 field_h: 20 field_w: 14 field_w: 18 } } "
        f"bbox_reg_param {{ {REGRESSION} }}"
    )
    rows = []
    for i in range(2):
        boxes = []
        for k, (h, w) in enumerate(((12, 14), (20, 18))):
            x, scores = bottoms["d"][2 * i + k], bottoms["s"][2 * i + k, 0]
            for r in range(3):
                for c in range(4):
                    t = [float(x[m, r, c]) * STD[m] + MEAN[m] for m in range(4)]
                    t[:2] = (min(max(v, -0.5), 0.5) for v in t[:2])
                    t[2:] = (min(max(v, -math.log(2)), math.log(2)) for v in t[2:])
                    bw, bh = w * math.exp(t[2]), h * math.exp(t[3])
                    bx, by = t[0] * w + (c + 0.5) * 8 - bw / 2, t[1] * h + (r + 0.5) * 8 - bh / 2
                    box = [max(bx, 0), max(by, 0), min(bx + bw - 1, 32), min(by + bh - 1, 24)]
                    score = 1 - float(scores[r, c])
                    if score >= np.float32(0.3) and min(box[2] - box[0], box[3] - box[1]) + 1 >= 9.3:
                        boxes.append([*box, score])
        rows += [[i, *box] for box in _best(boxes, kind, 1, before, after)]
    found = engine_outputs(network_of(text, bottoms), bottoms)
    np.testing.assert_allclose(found["scored"][..., 0, 0], rows, atol=1e-4)
    np.testing.assert_array_equal(found["rois"], found["scored"][:, :5])


def test_where_no_box_is_left_stands_one_that_pools_something() -> None:
    bottoms = {"s": np.ones((1, 2, 2, 2), np.float32), "d": np.zeros((1, 4, 2, 2), np.float32)}
    text = (
        'name: "l" type: "BoxGroupOutput" bottom: "s" bottom: "d" top: "rois" top: "scored" box_group_output_param { '
        "fg_thr: 0.5 box_group_param { stride: 8 field_h: 12 field_w: 14 } }"
    )
    found = engine_outputs(network_of(text, bottoms), bottoms)
    assert found["rois"].ravel().tolist() == [0, 1, 1, 10, 10]
    assert found["scored"].ravel().tolist() == [0] * 6
    bottoms["d"][0, 0, 0, 0] = np.inf
    layer = network_of(text, bottoms).nodes[-1].layer
    with pytest.raises(EngineError, match=r"layer 'l' .*bottom 'd' holds 1 value"):
        layer.host(list(bottoms.values()), ())


@cases(10)
@given(SEEDS, st.booleans())
def test_decode_bbox_matches_the_formula(seed: int, four_axes: bool) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 50, (6, 2))
    rois = np.concatenate([np.zeros((6, 1)), corner, corner + rng.uniform(1, 40, (6, 2))], 1).astype(np.float32)
    bottoms = {"d": rng.normal(0, 0.5, (6, 8)).astype(np.float32), "rois": rois}
    bottoms["rois"] = rois.reshape(6, 5, 1, 1) if four_axes else rois
    text = f'name: "l" type: "DecodeBBox" bottom: "d" bottom: "rois" top: "y" bbox_reg_param {{ {REGRESSION} }}'
    wanted = []
    for d, (image, x1, y1, x2, y2) in zip(bottoms["d"].astype(float), rois.astype(float), strict=True):
        t = d[4:] * STD + MEAN
        w, h = x2 - x1 + 1, y2 - y1 + 1
        bw, bh = w * math.exp(t[2]), h * math.exp(t[3])
        left, top = t[0] * w + (x1 + x2) / 2 - (bw - 1) / 2, t[1] * h + (y1 + y2) / 2 - (bh - 1) / 2
        wanted.append((image, left, top, left + bw - 1, top + bh - 1))
    network = network_of(text, bottoms)
    for engine in ENGINES:
        found = engine_outputs(network, bottoms, engine)["y"]
        assert found.shape == bottoms["rois"].shape
        np.testing.assert_allclose(found.reshape(6, 5), wanted, rtol=1e-4, atol=1e-3, err_msg=engine)


ROIS = (4, 5)


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        ('type: "DecodeBBox"', [(4, 4), ROIS], r"takes offsets \[R, 8\]"),
        ('type: "DecodeBBox" bbox_reg_param { bbox_mean: 1 bbox_std: 0 }', [(4, 8), ROIS], "takes 4 values"),
        ('type: "BoxOutput"', [(1, 6, 2, 2)], "takes field_h, field_w and downsample_rate once a bottom"),
        ('type: "BoxOutput"', [(1, 4, 2, 2)], "two classes or more"),
        ('type: "BoxGroupOutput"', [(1, 2, 2, 2), (1, 4, 2, 2)], "takes two bottoms a box_group_param"),
        (
            'type: "BoxGroupOutput" box_group_output_param { box_group_param { stride: 0 field_h: 1 field_w: 1 } }',
            [(1, 2, 2, 2), (1, 4, 2, 2)],
            "takes a stride",
        ),
        (
            'type: "BoxGroupOutput" box_group_output_param { nms_type: "IOX" box_group_param { stride: 8 field_h: 1 '
            "field_w: 1 } }",
            [(1, 2, 2, 2), (1, 4, 2, 2)],
            "nms_type is 'IOX'",
        ),
    ],
    ids=["offsets", "std", "fields", "classes", "groups", "stride", "kind"],
)
def test_refusals(text: str, shapes: list[tuple[int, ...]], message: str) -> None:
    names = [f"x{i}" for i in range(len(shapes))]
    layer = f'name: "l" {text} top: "y" ' + " ".join(f'bottom: "{n}"' for n in names)
    with pytest.raises(ShapeError, match=message):
        network_of(layer, {n: np.zeros(s, np.float32) for n, s in zip(names, shapes, strict=True)})
