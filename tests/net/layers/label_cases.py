"""Losses and margins of forks that take labels or targets: configurations, and their formulas written a second time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.net.layers.cases import _many
from tests.net.layers.fork_cases import Arrays, ForkCase
from tests.net.layers.fork_formulas import Formula

OHEM = "loss_weight: 1 loss_weight: 0"


def smooth(d: np.ndarray) -> np.ndarray:
    return np.where(abs(d) < 1, d * d / 2, abs(d) - 0.5)


def smooth_l1_ohem(divisor: float) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        a, b, *weight = (x.reshape(*x.shape, *(1,) * (4 - x.ndim)) for x in bottoms)
        places = smooth((a - b) * (weight[0] if weight else 1)).sum(1, keepdims=True)
        return [places.sum() / divisor, places]

    return formula


def softmax_ohem(ignored: int | None, divisor: float | None) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, labels = bottoms
        softmax = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        each = np.zeros(labels.shape)
        for place in np.ndindex(labels.shape):
            if labels[place] != ignored:
                each[place] = -math.log(softmax[(place[0], int(labels[place]), *place[-2:])])
        counted = (labels != (ignored if ignored is not None else -1)).sum()
        return [each.sum() / (divisor or counted), softmax, each]

    return formula


def at_label(change: object, others: float = 1.0) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, labels = bottoms[0], bottoms[1].reshape(-1)
        y = x * others
        for n, k in enumerate(labels):
            y[n, int(k)] = change(x[n, int(k)])  # type: ignore[operator]
        return [y]

    return formula


def margin(times: int, plain: float) -> Formula:
    """Multiples of an angle by the polynomials of its cosine, as SphereFace's code has them."""

    def psi(cosine: float) -> float:
        c, sign = cosine, math.copysign(1, cosine)
        if times == 1:
            return c
        if times == 2:
            return 2 * sign * c**2 - 1
        if times == 3:
            outer = math.copysign(1, abs(c) - 0.5)
            return outer * (4 * c**3 - 3 * c) + sign * (1 + outer) - 2
        inner = sign * math.copysign(1, 2 * c**2 - 1)
        return inner * (8 * c**4 - 8 * c**2 + 1) + 2 * sign + inner - 3

    def formula(bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> Arrays:
        x, labels = bottoms[0].reshape(len(bottoms[0]), -1), bottoms[1].reshape(-1)
        unit = blobs[0] / np.linalg.norm(blobs[0], axis=1, keepdims=True)
        y = x @ unit.T
        for n, k in enumerate(labels.astype(int)):
            length = np.linalg.norm(x[n])
            y[n, k] = (length * psi(y[n, k] / length) + plain * y[n, k]) / (1 + plain)
        return [y, np.array([plain])]

    return formula


def _margin(kind: str, times: int, param: str = "", plain: float = 1.0) -> ForkCase:
    text = f"margin_inner_product_param {{ num_output: 5 type: {kind} {param} }}"
    case = _many("MarginInnerProduct", text, (6, 2, 3), (6,), classes=5, top="y lambda")
    return ForkCase(case, margin(times, plain))


LABEL_CASES: dict[str, ForkCase] = {
    "smooth_l1_ohem": ForkCase(
        _many("SmoothL1LossOHEM", OHEM, (3, 4, 2, 2), (3, 4, 2, 2), (3, 4, 2, 2), top="y z", low=-3), smooth_l1_ohem(12)
    ),
    "smooth_l1_ohem_fixed": ForkCase(
        _many("SmoothL1LossOHEM", "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 5 }", (3, 4), (3, 4)),
        lambda x, b: smooth_l1_ohem(5)(x, b)[:1],
    ),
    "smooth_l1_ohem_sum": ForkCase(
        _many("SmoothL1LossOHEM", "loss_param { normalization: NONE }", (3, 4), (3, 4, 1, 1)),
        lambda x, b: smooth_l1_ohem(1)(x, b)[:1],
    ),
    "smooth_l1_ohem_batch": ForkCase(
        _many("SmoothL1LossOHEM", "loss_param { normalize: false }", (3, 4, 1, 2), (3, 4, 1, 2)),
        lambda x, b: smooth_l1_ohem(3)(x, b)[:1],
    ),
    "softmax_ohem": ForkCase(
        _many("SoftmaxWithLossOHEM", OHEM + " loss_weight: 0", (3, 4, 2, 2), (3, 1, 2, 2), top="y s z", classes=4),
        softmax_ohem(None, None),
        smooth=False,
    ),
    "softmax_ohem_ignore": ForkCase(
        _many(
            "SoftmaxWithLossOHEM",
            OHEM + " loss_weight: 0 loss_param { ignore_label: 1 normalization: PRE_FIXED pre_fixed_normalizer: 7 }",
            *((3, 4, 2, 2), (3, 1, 2, 2)),
            top="y s z",
            classes=4,
        ),
        softmax_ohem(1, 7),
        smooth=False,
    ),
    "label_specific_add": ForkCase(
        _many("LabelSpecificAdd", "phase: TRAIN label_specific_add_param { bias: -0.35 }", (6, 4), (6,), classes=4),
        at_label(lambda v: v - 0.35 if v > 0.35 else v),
    ),
    "label_specific_add_at_test": ForkCase(
        _many("LabelSpecificAdd", "label_specific_add_param { bias: -0.35 transform_test: true }", (6, 4), (6,)),
        at_label(lambda v: v),
    ),
    "label_specific_rescale": ForkCase(
        _many(
            "LabelSpecificRescale",
            "label_specific_rescale_param { positive_weight: 0.9 negative_weight: 2 rescale_test: true }",
            *((6, 4, 1, 1), (6, 1)),
            classes=4,
        ),
        at_label(lambda v: v * 0.9, 2.0),
    ),
    "label_specific_rescale_at_test": ForkCase(
        _many("LabelSpecificRescale", "label_specific_rescale_param { positive_weight: 0.9 }", (6, 4), (6,)),
        at_label(lambda v: v),
    ),
    "margin_of_one": _margin("SINGLE", 1),
    "margin_of_two": _margin("DOUBLE", 2),
    "margin_of_three": _margin("TRIPLE", 3, "base: 1000 gamma: 0.12 power: 1 lambda_min: 5 iteration: 70000", 5.0),
    "margin_of_four": _margin("QUADRUPLE", 4, "base: 0", 0.0),
}
