"""Layers that are one formula for numpy and torch: configurations, and the same function written a second time.

A formula takes the bottoms and the learned blobs, float64, in order, and returns the tops: sample by sample, in loops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tests.net.layers.cases import Case, _many
from tests.net.layers.fork_cases import Arrays, ForkCase
from tests.net.layers.fork_formulas import Formula
from tests.oracle import layer_proto

DISTANCES = ((4, 5), (4,))


def contrastive(**p: float) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        d, labels = bottoms
        plus = [min(4.0, max(0.0, row[int(k)] - p.get("low", 0))) for row, k in zip(d, labels, strict=True)]
        loss = min(plus) if p.get("one_positive") else sum(plus)
        apart = 0.0
        for row, k, own in zip(d, labels, plus, strict=True):
            gaps = [max(0.0, p["high"] - x) for j, x in enumerate(row) if j != int(k)]
            apart += sum(gaps)
            terms = [math.exp(-x) if x < p["high"] else 0.0 for j, x in enumerate(row) if j != int(k)]
            terms = terms if p.get("exp") else gaps
            if row[int(k)] > p.get("upper", math.inf):
                continue
            if p.get("one_negative"):
                loss += p["weight"] * max(terms) if int(k) or p["weight"] * max(terms) > own else 0
            else:
                loss += p["weight"] * sum(terms)
        side = [sum(plus) / len(d), apart / len(d) / (d.shape[1] - 1)]
        if p.get("mae"):
            side.append(min(0.01 * side[0], 1.2))
        return [np.array(loss / len(d)), np.array(side)]

    return formula


def triplets(**p: float) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        loss, same, others = 0.0, 0.0, 0.0
        for row, k in zip(*bottoms, strict=True):
            rest = [x for j, x in enumerate(row) if j != int(k)]
            terms = [max(0.0, row[int(k)] + p["margin"] - x) for x in rest]
            same, others = same + row[int(k)], others + sum(rest) / len(rest)
            if row[int(k)] <= p.get("upper", math.inf):
                loss += p.get("weight", 1) * (max(terms) if p.get("hardest") else sum(terms))
        return [np.array(loss / len(bottoms[0])), np.array([same, others]) / len(bottoms[0])]

    return formula


def landmarks(outline: float, main: float, coarse: float, factor: bool = False) -> Formula:
    chosen = {18, 22, 23, 27, 37, 40, 43, 46, 28, 32, 36, 49, 55}

    def weight(point: int) -> float:
        return coarse if coarse and point in chosen else outline if point <= 17 else main

    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        squares = (bottoms[0] - bottoms[1]) ** 2 * (bottoms[2] if factor else 1)
        total = sum(weight(i % 68 + 1) * row[i] for row in squares for i in range(136))
        return [np.array(total / 2 / len(squares))]

    return formula


def ordinal(bottoms: Arrays, blobs: Arrays) -> Arrays:
    loss = 0.0
    for row, label in zip(*bottoms, strict=True):
        for k, (below, above) in enumerate(row.reshape(-1, 2)):
            p = math.exp(above) / (math.exp(above) + math.exp(below))
            loss -= math.log(p if label > k else 1 - p)
    return [np.array(loss / len(bottoms[0]))]


def rank_error(bottoms: Arrays, blobs: Arrays) -> Arrays:
    counted = [(row.reshape(-1, 2), label) for row, label in zip(*bottoms, strict=True) if label != 1]
    return [np.array(np.mean([abs(label - sum(a < b for a, b in pairs)) for pairs, label in counted]))]


def f_measure(average: bool, margin: float = 0.5) -> Formula:
    def one(x: np.ndarray, t: np.ndarray, r: np.ndarray, p: np.ndarray) -> float:
        if margin < 0.5:
            sure = [(a - 0.5) * (1 if b > 0.5 else -1) >= margin for a, b in zip(x, t, strict=True)]
            x = np.array([b if s else a for s, a, b in zip(sure, x, t, strict=True)])
        recall, precision = (x * t) @ r / (t @ r), (x * t) @ p / (x @ p)
        return 1 - 2 * recall * precision / (recall + precision)

    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        flat = [b.reshape(len(b) if average else 1, -1) for b in bottoms]
        return [np.array(np.mean([one(*rows) for rows in zip(*flat, strict=True)]))]

    return formula


def arc(bottoms: Arrays, blobs: Arrays) -> Arrays:
    y = bottoms[0].copy()
    for row, k in zip(y, bottoms[1].astype(int), strict=True):
        t = math.acos(row[k])
        row[k] = math.cos(t + 0.5) if t < math.pi - 0.5 else row[k] - 0.5 * math.sin(0.5)
    return [y]


def combined(bottoms: Arrays, blobs: Arrays) -> Arrays:
    y = bottoms[0].copy()
    for row, k in zip(y, bottoms[1].astype(int), strict=True):
        row[k] = math.cos(2 * math.acos(row[k]) + 0.1) - 0.35
    return [y]


def large_margin(times: int, plain: float) -> Formula:
    """Multiples of an angle by polynomials of its cosine and by signs, as the fork's code has them."""

    def psi(c: float) -> float:
        sign = math.copysign(1, c)
        if times == 2:
            return 2 * sign * c * c - 1
        if times == 3:
            outer = math.copysign(1, abs(c) - 0.5)
            return outer * (4 * c**3 - 3 * c) + sign * (1 + outer) - 2
        outer = sign * math.copysign(1, 2 * c * c - 1)
        return outer * (8 * c**4 - 8 * c * c + 1) + 2 * sign + outer - 3

    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        (x, labels), w = bottoms, blobs[0]
        y = x @ w.T
        for n, k in enumerate(labels.astype(int)):
            length = math.sqrt((x[n] @ x[n]) * (w[k] @ w[k]))
            if times > 1:
                y[n, k] = (length * psi(y[n, k] / length) + plain * y[n, k]) / (1 + plain)
        return [y, np.array([plain])]

    return formula


def _large_margin(kind: str, times: int, param: str = "", plain: float = 1.0) -> ForkCase:
    text = f"largemargin_inner_product_param {{ num_output: 5 type: {kind} {param} }}"
    case = _many("LargeMarginInnerProduct", text, (6, 4), (6,), top="y z", classes=5)
    return ForkCase(case, large_margin(times, plain), smooth=False)


def triplet(bottoms: Arrays, blobs: Arrays) -> Arrays:
    losses = [max(0.0, ((a - p) ** 2).sum() - ((a - n) ** 2).sum() + 0.5) for a, p, n in zip(*bottoms[:3], strict=True)]
    return [np.array(sum(losses) / 2 / len(losses))]


def tags(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x, t = bottoms
    loss = sum(math.log1p(math.exp(-a if b > 0 else a)) for a, b in zip(x.ravel(), t.ravel(), strict=True) if b)
    return [np.array(loss / len(x)), 1 / (1 + np.exp(-x))]


def tag_scores(bottoms: Arrays, blobs: Arrays) -> Arrays:
    pairs = [(value >= 0, tag > 0) for value, tag in zip(*(x.ravel() for x in bottoms), strict=True) if abs(tag) >= 1]
    right, missed = pairs.count((True, True)), pairs.count((False, True))
    refused, wrong = pairs.count((False, False)), pairs.count((True, False))
    recall, others = right / (right + missed), refused / (refused + wrong)
    scores = [
        *(recall, others, 2 / ((right + missed) / right + (refused + wrong) / refused)),
        *(right / (right + wrong), 2 * right / (2 * right + wrong + missed)),
    ]
    return [np.array(scores).reshape(1, 5, 1, 1)]


def weighted_softmax(ignored: int | None, divisor: float | None) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, labels, weights = bottoms
        softmax = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        loss, total = 0.0, 0.0
        for n, i in np.ndindex(labels.shape):
            if labels[n, i] != ignored:
                loss -= weights[n, i] * math.log(softmax[n, int(labels[n, i]), i])
                total += weights[n, i]
        return [np.array(loss / (divisor or max(total, 1))), softmax]

    return formula


def unique(bottoms: Arrays, blobs: Arrays) -> Arrays:
    found = np.full((len(bottoms[0]), 6), -1.0)
    for line, labels in zip(found, bottoms[0], strict=True):
        kept = sorted({*labels.ravel().tolist(), 7.0} - {1.0})
        line[: len(kept)] = kept
    return [found.reshape(-1, 6, 1, 1)]


def wing(d: float) -> float:
    return 0.4 * math.log(1 + d / 0.2) if d < 0.4 else d - 0.4 * (1 - math.log(3))


def _distances(kind: str, param: str, formula: Formula, smooth: bool = True) -> ForkCase:
    return ForkCase(_many(kind, param, *DISTANCES, top="y z", classes=5, low=0.0), formula, smooth)


FORMULAS: Mapping[str, ForkCase] = {
    "general_contrastive": _distances(
        "GeneralContrastiveLoss",
        "general_contrastive_loss_param { positive_margin: 0.2 negative_margin: 0.7 negative_weight: 0.5 }",
        contrastive(low=0.2, high=0.7, weight=0.5),
    ),
    "general_contrastive_largest": _distances(
        "GeneralContrastiveLoss",
        "general_contrastive_loss_param { max_negative_only: true max_positive_only: true add_intra_mae: true }",
        contrastive(high=1.0, weight=1.0, one_negative=1, one_positive=1, mae=1),
        smooth=False,
    ),
    "general_contrastive_exponents": _distances(
        "GeneralContrastiveLoss",
        "general_contrastive_loss_param { exp_negative_weight: true positive_first: true positive_upper_bound: 0.5 }",
        contrastive(high=1.0, weight=1.0, exp=1, upper=0.5),
    ),
    "general_triplet": _distances(
        "GeneralTripletLoss",
        "general_triplet_loss_param { negative_weight: 2 }",
        triplets(margin=0.2, weight=2),
        smooth=False,
    ),
    "general_triplet_hardest": _distances(
        "GeneralTripletLoss",
        "general_triplet_loss_param { margin: 0.5 hardest_only: true positive_first: true positive_upper_bound: 0.6 }",
        triplets(margin=0.5, hardest=1, upper=0.6),
        smooth=False,
    ),
    "heatmap_loss": ForkCase(
        _many("EuclideanLossHeatmap", "visualise: false", (2, 3, 4, 4), (2, 3, 4, 4), (2, 3, 8, 8)),
        lambda x, b: [np.array(((x[0] - x[1]) ** 2).sum() / x[0].size)],
        smooth=False,
    ),
    "landmark_loss": ForkCase(_many("WeightEuclideanLoss", "", (3, 136), (3, 136)), landmarks(0, 1, 0)),
    "landmark_loss_weighted": ForkCase(
        _many(
            "WeightEuclideanLoss",
            "weight_euclidean_loss_param { main_weight: 2 contour_weight: 0.5 coarse_weight: 3 }",
            *[(2, 136)] * 3,
        ),
        landmarks(0.5, 2, 3, factor=True),
    ),
    "ordinal_loss": ForkCase(
        _many("OrdinalRegressionLoss", "ordinal_regression_loss_param { }", (3, 8), (3,), classes=5), ordinal
    ),
    "rank_error": ForkCase(
        _many("MAE", "mae_param { ignore_label: 1 }", (6, 8), (6,), classes=5), rank_error, smooth=False
    ),
    "f_measure": ForkCase(
        _many("WeightedFmeasureLoss", "", *[(3, 1, 4, 5)] * 4, low=0.1), f_measure(True), smooth=False
    ),
    "f_measure_of_the_batch": ForkCase(
        _many(
            "WeightedFmeasureLoss",
            "weighted_fmeasure_loss_param { avg_fm: false margin: 0.3 }",
            *[(3, 2, 4, 5)] * 4,
            low=0.1,
        ),
        f_measure(False, 0.3),
        smooth=False,
    ),
    "cosin_add_m": ForkCase(_many("CosinAddm", "", (8, 5), (8,), classes=5), arc),
    "combined_margin": ForkCase(
        _many("CombinedMargin", "combined_margin_param { m1: 2 m2: 0.1 }", (8, 5), (8,), classes=5), combined, False
    ),
    "large_margin_of_one": _large_margin("SINGLE", 1),
    "large_margin_of_two": _large_margin("DOUBLE", 2),
    "large_margin_of_three": _large_margin("TRIPLE", 3, "base: 1000 gamma: 0.1 iteration: 8 lambda_min: 5", 1000 / 1.9),
    "large_margin_of_four": _large_margin("QUADRUPLE", 4, "base: 1000 gamma: 12 iteration: 700 lambda_min: 5", 5.0),
    "triplet_loss": ForkCase(_many("TripletLoss", "triplet_loss_param { margin: 0.5 }", *[(4, 3, 1, 1)] * 3), triplet),
    "triplet_loss_with_weights": ForkCase(
        _many("TripletLoss", "triplet_loss_param { margin: 0.5 }", *[(4, 3)] * 3, (4, 1)), triplet, smooth=False
    ),
    "cosine_loss": ForkCase(
        _many("CosineLoss", "", (3, 4), (3, 4)),
        lambda x, b: [np.mean([1 - p @ q / np.sqrt((p @ p) * (q @ q)) for p, q in zip(*x, strict=True)])],
    ),
    "wing_loss": ForkCase(
        _many("WingLoss", "wing_loss_param { w: 0.4 epsilon: 0.2 }", (3, 4), (3, 4)),
        lambda x, b: [np.array(sum(wing(abs(d)) for d in (x[0] - x[1]).ravel()) / 3)],
    ),
    "huber_loss": ForkCase(
        _many("HuberLoss", "huber_loss_param { delta: 0.5 }", (3, 4), (3, 4)),
        lambda x, b: [np.mean([d * d / 2 if d < 0.5 else d / 2 - 0.125 for d in abs(x[0] - x[1]).ravel()])],
    ),
    "multi_label_loss": ForkCase(_many("MultiLabelLoss", "", (3, 5), (3, 5), top="y z"), tags, smooth=False),
    "multi_label_loss_of_some": ForkCase(_many("MultiLabelLoss", "", (3, 5), (3, 5), top="y z", classes=2), tags),
    "multi_label_accuracy": ForkCase(
        Case(_many("MultiLabelAccuracy", "", (9, 5), (9, 5)).layer, {"x0": (9, 5), "x1": (9, 5)}, -2.0, 2.0),
        tag_scores,
        smooth=False,
    ),
    "weighted_softmax": ForkCase(
        _many("WeightedSoftmaxWithLoss", "", (3, 4, 2), (3, 2), (3, 2), top="y z", labels=(1, 4), low=0.0),
        weighted_softmax(None, None),
    ),
    "weighted_softmax_ignore": ForkCase(
        _many(
            "WeightedSoftmaxWithLoss",
            "loss_param { ignore_label: 2 normalize: false }",
            *((3, 4, 2), (3, 2), (3, 2)),
            top="y z",
            labels=(1, 4),
            low=0.0,
        ),
        weighted_softmax(2, 3),
    ),
    "unique_label": ForkCase(
        _many(
            "UniqueLabel",
            "unique_label_param { ignore_label: 1 force_label: 7 max_labels: 6 }",
            (2, 1, 3, 4),
            classes=5,
        ),
        unique,
        smooth=False,
    ),
}

OWN_TESTS = {layer_proto(fork.case.layer).type for fork in FORMULAS.values()} | {
    *("ImageLabelmapData", "DataHeatmap", "CPMData"),
}
