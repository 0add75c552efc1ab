"""Scores of documents, pixel shuffles and mixed labels: their formulas written a second time."""

from __future__ import annotations

import numpy as np

from tests.net.layers.cases import _many, _one
from tests.net.layers.fork_cases import Arrays, ForkCase
from tests.net.layers.fork_formulas import Formula


def precision_recall(thresh: float, ignored: int | None = None) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        pairs = [(x >= thresh, t != 0) for x, t in zip(*(b.ravel() for b in bottoms), strict=True) if t != ignored]
        hits, false, missed, rejected = (pairs.count((a, b)) for a in (True, False) for b in (True, False))
        precision, recall = hits / (hits + false), hits / (hits + missed)
        right = (hits + rejected) / len(pairs)
        f_measure = 2 * hits / (2 * hits + false + missed)
        return [np.array(v) for v in (precision, recall, right, rejected / (false + rejected), f_measure)]

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


SCORE_CASES: dict[str, ForkCase] = {
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
    "mixup_one_hot": ForkCase(
        _many("Mixup", "mixup_param { cls_num: 4 alpha: 0.2 }", (3, 2, 5), (3,), classes=4, top="y t"), one_hot, False
    ),
    "reshape_pixelshuffler": ForkCase(_one("Reshape", "reshape_param { pixelshuffler: 2 }", (2, 8, 3, 5)), shuffled),
}
