"""Layers that are one formula for numpy and torch: configurations, and the same function written a second time.

A formula takes the bottoms and the learned blobs, float64, in order, and returns the tops: sample by sample, in loops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tests.net.layers.cases import _many
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
}

OWN_TESTS = {layer_proto(fork.case.layer).type for fork in FORMULAS.values()} | {
    *("ImageLabelmapData", "DataHeatmap", "CPMData"),
}
