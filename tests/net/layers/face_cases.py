"""Layers of face-recognition forks with a form in ONNX operators, and their formulas written a second time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.net.layers.cases import _many, _one
from tests.net.layers.fork_cases import Arrays, ForkCase
from tests.net.layers.fork_formulas import Formula


def unit(w: np.ndarray) -> np.ndarray:
    return np.array([row / np.sqrt(row @ row + 1e-6) for row in w])


def distance(power: int, normalize: bool = False) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x = bottoms[0].reshape(len(bottoms[0]), -1)
        w = bottoms[1] if len(bottoms) == 2 else blobs[0]
        w = unit(w) if normalize else w
        return [np.array([[(abs(a - b) ** power).sum() for b in w] for a in x])]

    return formula


def product(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x, w, *b = bottoms
    return [np.array([[row @ other for other in w] for row in x.reshape(len(x), -1)]) + (b[0] if b else 0)]


def over_channels(squares: bool) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x = bottoms[0].reshape(*bottoms[0].shape, *(1,) * (4 - bottoms[0].ndim))
        norm = np.zeros((len(x), 1, *x.shape[2:]))
        for n, i, j in np.ndindex(len(x), *x.shape[2:]):
            line = x[n, :, i, j]
            norm[n, 0, i, j] = np.sqrt(line @ line + 1e-6) if squares else abs(line).sum() + 1e-6
        return [x / norm, norm]

    return formula


FACE_CASES: Mapping[str, ForkCase] = {
    "normalize_of_faces": ForkCase(_one("Normalize", "", (3, 4)), lambda x, b: over_channels(True)(x, b)[:1]),
    "normalize_of_maps": ForkCase(
        _one("Normalize", "normalize_param { bp_norm: true }", top="y n"), over_channels(True)
    ),
    "normalize_by_sums": ForkCase(
        _one("Normalize", 'normalize_param { normalize_type: "L1" }', (3, 4, 2), top="y n"), over_channels(False)
    ),
    "inner_distance": ForkCase(
        _one("InnerDistance", "inner_distance_param { num_output: 5 normalize: true }", (3, 4, 1, 2)), distance(2, True)
    ),
    "inner_distance_l1": ForkCase(
        _one("InnerDistance", 'inner_distance_param { num_output: 5 distance_type: "L1" bias_term: false }', (3, 4)),
        distance(1),
    ),
    "inner_distance_of_bottoms": ForkCase(_many("InnerDistance", "", (3, 4), (5, 4)), distance(2)),
    "inner_product_normalized": ForkCase(
        _one("InnerProduct", "inner_product_param { num_output: 5 normalize: true }", (3, 4, 1, 2)),
        lambda x, b: [x[0].reshape(3, 8) @ unit(b[0]).T + b[1]],
    ),
    "inner_product_normalized_rows": ForkCase(
        _one("InnerProduct", "inner_product_param { num_output: 5 axis: 2 normalize: true }", (3, 4, 6)),
        lambda x, b: [np.einsum("nck,ok->nco", x[0], unit(b[0])) + b[1]],
    ),
    "inner_product_of_bottoms": ForkCase(
        _many("InnerProduct", "inner_product_param { bias_term: false }", (3, 4), (5, 4)), product
    ),
    "inner_product_of_three_bottoms": ForkCase(_many("InnerProduct", "", (3, 2, 2), (5, 4), (5,)), product),
    "label_specific_margin": ForkCase(
        _many(
            "LabelSpecificMargin",
            "label_specific_margin_param { margin_base: 2 gamma: 0.5 iteration: 4 margin_max: 3.5 }",
            *((3, 4), (3,)),
            top="y m",
            classes=4,
        ),
        lambda x, b: [x[0], np.array([3.5])],
    ),
    "normalization": ForkCase(
        _one("Normalization", "", (3, 2, 2, 2)), lambda x, b: [np.stack([s / np.sqrt((s * s).sum()) for s in x[0]])]
    ),
    "norm_l2": ForkCase(
        _one("NormL2", "", (3, 4)),
        lambda x, b: [np.stack([s / np.sqrt(s @ s + 1e-7) for s in x[0]]).reshape(3, 4, 1, 1)],
    ),
    "maxout": ForkCase(
        _one("Maxout", "maxout_param { chgroup_sz: 2 }", (3, 6, 2, 2)),
        lambda x, b: [np.stack([np.maximum(x[0][:, 2 * i], x[0][:, 2 * i + 1]) for i in range(3)], 1)],
    ),
    "rrelu": ForkCase(
        _one("RReLU", "rrelu_param { lb: 3 ub: 8 }"),
        lambda x, b: [np.where(x[0] > 0, x[0], x[0] * np.log(8 / 3) / 5)],
    ),
    "grl": ForkCase(_one("GRL", "grl_param { lower: 0 upper: 1 }"), lambda x, b: [x[0]]),
    "gradient_reversal": ForkCase(_one("GradientReversal", ""), lambda x, b: [x[0]]),
}
