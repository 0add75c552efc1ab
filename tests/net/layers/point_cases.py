"""Losses of points, ages and documents, pixel shuffles and mixed labels: their formulas written a second time."""

from __future__ import annotations

import math

import numpy as np

from tests.net.layers.cases import _many, _one
from tests.net.layers.fork_cases import Arrays, ForkCase
from tests.net.layers.fork_formulas import Formula


def heat_maps(bottoms: Arrays, blobs: Arrays) -> Arrays:
    return [((bottoms[0] - bottoms[1]) ** 2).mean()]


def points(main: float, contour: float, coarse: float, normalized: bool = False) -> Formula:
    corners = {17, 21, 22, 26, 36, 39, 42, 45, 27, 31, 35, 48, 54}

    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        a, b, *third = bottoms
        total = 0.0
        for n, i in np.ndindex(a.shape):
            k = i % 68
            weight = coarse if coarse and k in corners else contour if k < 17 else main
            if normalized:
                weight /= math.hypot(b[n, 36] - b[n, 42], b[n, 68 + 39] - b[n, 68 + 45])
            total += weight * (a[n, i] - b[n, i]) ** 2 * (third[0][n, i] if third else 1)
        return [np.array(total / (2 * len(a)))]

    return formula


def ordinal(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x, labels = bottoms
    total = 0.0
    for scores, label in zip(x, labels, strict=True):
        for k in range(x.shape[1] // 2):
            no, yes = scores[2 * k], scores[2 * k + 1]
            right, wrong = (yes, no) if label > k else (no, yes)
            total += math.log1p(math.exp(wrong - right))
    return [np.array(total / len(x))]


def ranks_error(ignored: int | None = None) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, labels = bottoms
        errors = []
        for place in np.ndindex(labels.shape):
            scores = x[(place[0], slice(None), *place[1:])]
            if labels[place] != ignored:
                errors.append(abs(labels[place] - (scores[0::2] < scores[1::2]).sum()))
        return [np.mean(errors)]

    return formula


def precision_recall(thresh: float, ignored: int | None = None) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        pairs = [(x >= thresh, t != 0) for x, t in zip(*(b.ravel() for b in bottoms), strict=True) if t != ignored]
        hits, false, missed, rejected = (pairs.count((a, b)) for a in (True, False) for b in (True, False))
        precision, recall = hits / (hits + false), hits / (hits + missed)
        right = (hits + rejected) / len(pairs)
        f_measure = 2 * hits / (2 * hits + false + missed)
        return [np.array(v) for v in (precision, recall, right, rejected / (false + rejected), f_measure)]

    return formula


def f_measure(margin: float, average: bool) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, t, r, p = (b.reshape(b.shape[0] if average else 1, -1) for b in bottoms)
        losses = []
        for xs, ts, rs, ps in zip(x, t, r, p, strict=True):
            sure = np.where(ts > 0.5, xs >= 0.5 + margin, xs <= 0.5 - margin) & (margin < 0.5)
            xs = np.where(sure, ts, xs)
            recall, precision = (xs * ts * rs).sum() / (ts * rs).sum(), (xs * ts * ps).sum() / (xs * ps).sum()
            losses.append(1 - 2 / (1 / recall + 1 / precision))
        return [np.mean(losses)]

    return formula


def shuffled(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x = bottoms[0]
    y = np.zeros((x.shape[0], x.shape[1] // 4, x.shape[2] * 2, x.shape[3] * 2))
    for n, c, h, w in np.ndindex(x.shape):
        y[n, c // 4, 2 * h + c % 4 // 2, 2 * w + c % 2] = x[n, c, h, w]
    return [y]


def one_hot(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x, labels = bottoms
    return [x, np.eye(4)[labels.astype(int)]]


def _points(text: str, formula: Formula, *more: tuple[int, ...]) -> ForkCase:
    param = f"weight_euclidean_loss_param {{ {text} }}"
    return ForkCase(_many("WeightEuclideanLoss", param, (2, 136), (2, 136), *more), formula)


def _f(text: str, formula: Formula, smooth: bool = True) -> ForkCase:
    param = f"weighted_fmeasure_loss_param {{ {text} }}"
    return ForkCase(_many("WeightedFmeasureLoss", param, *((3, 1, 4, 5),) * 4, low=0.1), formula, smooth)


POINT_CASES: dict[str, ForkCase] = {
    "heat_maps": ForkCase(_many("EuclideanLossHeatmap", "visualise: false", *((2, 3, 5, 5),) * 3), heat_maps),
    "points": _points("", points(1, 0, 0)),
    "points_contour": _points("main_weight: 0 contour_weight: 2 coarse_weight: 3", points(0, 2, 3), (2, 136)),
    "points_pupils": _points("contour_weight: 0.5 normalized: 1", points(1, 0.5, 0, True)),
    "ordinal_regression": ForkCase(_many("OrdinalRegressionLoss", "", (5, 8), (5,), classes=5), ordinal),
    "ranks_error": ForkCase(_many("MAE", "", (6, 8), (6,), classes=5), ranks_error(), False),
    "ranks_error_ignore": ForkCase(
        _many("MAE", "mae_param { ignore_label: 1 }", (4, 6, 2), (4, 2), classes=4), ranks_error(1), False
    ),
    "precision_recall": ForkCase(
        _many("PR", "", (3, 1, 5, 5), (3, 1, 5, 5), top="p r a t f", classes=2), precision_recall(0.5), False
    ),
    "precision_recall_ignore": ForkCase(
        _many(
            *("PR", "precision_recall_param { thresh: 0.1 ignore_label: 2 }", (3, 25), (3, 25)),
            top="p r a t f",
            classes=3,
        ),
        precision_recall(0.1, 2),
        False,
    ),
    "f_measure": _f("", f_measure(0.5, False)),
    "f_measure_margin": _f("margin: 0.2", f_measure(0.2, False), False),
    "f_measure_average": _f("avg_fm: true", f_measure(0.5, True)),
    "mixup_one_hot": ForkCase(
        _many("Mixup", "mixup_param { cls_num: 4 alpha: 0.2 }", (3, 2, 5), (3,), classes=4, top="y t"), one_hot, False
    ),
    "reshape_pixelshuffler": ForkCase(_one("Reshape", "reshape_param { pixelshuffler: 2 }", (2, 8, 3, 5)), shuffled),
}
