"""MultiBoxLoss against loops over priors and boxes, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError, ShapeError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.boxes import decode
from caffezoo.net.layers.multibox_loss import encode
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.opencv_runs import engine_outputs, network_of

CODES = ("CORNER", "CENTER_SIZE", "CORNER_SIZE")


def _text(param: str, more: str = "") -> str:
    return (
        'name: "l" type: "MultiBoxLoss" bottom: "loc" bottom: "conf" bottom: "priors" bottom: "truth" top: "y" '
        f"multibox_loss_param {{ {param} }} {more}"
    )


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 0.6, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.15, 0.4, (count, 2))], 1)


def _bottoms(seed: int, priors: int = 12, classes: int = 3, boxes: int = 4) -> dict[str, np.ndarray]:
    """Return two images; the last box is difficult, and where there are none the first row says so."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate(
        [rng.integers(0, 2, (boxes, 1)), rng.integers(1, classes, (boxes, 1)), np.zeros((boxes, 1)), _boxes(rng, boxes),
         np.arange(boxes)[:, None] == boxes - 1], 1
    )  # fmt: skip
    variances = np.tile([0.1, 0.1, 0.2, 0.2], priors)
    return {
        "loc": rng.normal(0, 1, (2, priors * 4)).astype(np.float32),
        "conf": rng.normal(0, 1, (2, priors * classes)).astype(np.float32),
        "priors": np.stack([_boxes(rng, priors).ravel(), variances])[None].astype(np.float32),
        "truth": truth[None, None].astype(np.float32),
    }


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    w, h = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in (0, 1))
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def loss_by_loops(
    bottoms: dict[str, np.ndarray], *, per_prediction: bool, difficult: bool, ratio: float, mining: bool, logistic: bool
) -> tuple[float, int]:
    """Return SSD's loss before its normalisation, with CENTER_SIZE offsets, and the number of matches."""
    priors, variances = bottoms["priors"].reshape(2, -1, 4).astype(float)
    loss, matches = 0.0, 0
    for i in range(2):
        boxes = [r for r in bottoms["truth"].reshape(-1, 8).astype(float) if r[0] == i and (difficult or not r[7])]
        loc, conf = bottoms["loc"][i].reshape(-1, 4).astype(float), bottoms["conf"][i].reshape(len(priors), -1)
        pairs = sorted(
            ((_overlap(p, b[3:7]), k, j) for k, p in enumerate(priors) for j, b in enumerate(boxes)), reverse=True
        )
        match: dict[int, int] = {}
        for overlap, k, j in pairs:
            if overlap > 1e-6 and k not in match and j not in match.values():
                match[k] = j
        most = {
            k: max([(_overlap(p, b[3:7]), j) for j, b in enumerate(boxes)], default=(0, -1))
            for k, p in enumerate(priors)
        }
        if per_prediction:
            match |= {k: j for k, (overlap, j) in most.items() if k not in match and overlap >= 0.35}
        matches += len(match)
        losses = []
        for k, prior in enumerate(priors):
            label = int(boxes[match[k]][1]) if k in match else 0
            s = conf[k].astype(float)
            if logistic:
                t = [float(c == label and c != 0) for c in range(len(s))]
                losses.append(
                    -sum(
                        v * math.log(1 / (1 + math.exp(-x))) + (1 - v) * math.log(1 / (1 + math.exp(x)))
                        for v, x in zip(t, s, strict=True)
                    )
                )
            else:
                losses.append(-math.log(math.exp(s[label]) / sum(math.exp(v) for v in s)))
            if k in match:
                b, (w, h) = boxes[match[k]][3:7], prior[2:] - prior[:2]
                wanted = [
                    ((b[0] + b[2]) - (prior[0] + prior[2])) / 2 / w, ((b[1] + b[3]) - (prior[1] + prior[3])) / 2 / h,
                    math.log((b[2] - b[0]) / w), math.log((b[3] - b[1]) / h),
                ]  # fmt: skip
                for found, want, variance in zip(loc[k], wanted, variances[k], strict=True):
                    d = abs(found - want / variance)
                    loss += 2 * (d * d / 2 if d < 1 else d - 0.5)
        negatives = sorted((losses[k] for k in range(len(priors)) if k not in match and most[k][0] < 0.3), reverse=True)
        loss += sum(losses) if not mining else sum(losses[k] for k in match) + sum(negatives[: int(len(match) * ratio)])
    return loss, matches


@cases(30)
@given(
    SEEDS, st.booleans(), st.booleans(), st.sampled_from([1.0, 3.0]), st.booleans(), st.booleans(),
    st.sampled_from(["VALID", "BATCH_SIZE", "FULL", "NONE"]),
)  # fmt: skip
def test_losses_match_loops(
    seed: int, per_prediction: bool, difficult: bool, ratio: float, mining: bool, logistic: bool, mode: str
) -> None:
    bottoms = _bottoms(seed)
    loss, matches = loss_by_loops(
        bottoms, per_prediction=per_prediction, difficult=difficult, ratio=ratio, mining=mining, logistic=logistic
    )
    param = (
        f"num_classes: 3 loc_weight: 2 code_type: CENTER_SIZE overlap_threshold: 0.35 neg_overlap: 0.3 "
        f"match_type: {'PER_PREDICTION' if per_prediction else 'BIPARTITE'} use_difficult_gt: {str(difficult).lower()} "
        f"neg_pos_ratio: {ratio} mining_type: {'MAX_NEGATIVE' if mining else 'NONE'} "
        f"conf_loss_type: {'LOGISTIC' if logistic else 'SOFTMAX'}"
    )
    divisor = {"VALID": max(matches, 1), "BATCH_SIZE": 2, "FULL": 24, "NONE": 1}[mode]
    network = network_of(_text(param, f"loss_param {{ normalization: {mode} }}"), bottoms)
    np.testing.assert_allclose(engine_outputs(network, bottoms)["y"], loss / divisor, rtol=1e-4)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("varied", [True, False])
def test_offsets_lead_back_to_the_boxes(code: str, varied: bool) -> None:
    rng = np.random.default_rng(0)
    boxes, priors = _boxes(rng, 5), _boxes(rng, 5)
    variances = rng.uniform(0.1, 0.3, (5, 4)) if varied else None
    number = pb.PriorBoxParameter.CodeType.Value(code)
    np.testing.assert_allclose(decode(number, encode(number, boxes, priors, variances), priors, variances), boxes)


def test_no_box_at_all_is_a_loss_of_nothing() -> None:
    bottoms = _bottoms(0)
    bottoms["truth"][...] = -1
    network = network_of(_text("num_classes: 3"), bottoms)
    assert engine_outputs(network, bottoms)["y"] == 0


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("", "has no num_classes"),
        ("num_classes: 4", "12 priors and 4 classes take"),
        ("num_classes: 3 mining_type: HARD_EXAMPLE", "HARD_EXAMPLE mining is not supported"),
        ("num_classes: 3 use_prior_for_matching: false", "takes share_location and use_prior_for_matching"),
    ],
)
def test_refusals(param: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        network_of(_text(param), _bottoms(0))


def test_a_class_that_is_none_is_one_clear_line() -> None:
    bottoms = _bottoms(0)
    network = network_of(_text("num_classes: 3"), bottoms)
    bottoms["truth"][0, 0, 0, 1] = 7
    with pytest.raises(EngineError, match=r"layer 'l' \(MultiBoxLoss\): a box .* is not among the 3"):
        engine_outputs(network, bottoms)
