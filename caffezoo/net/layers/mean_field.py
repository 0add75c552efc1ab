"""MultiStageMeanfield: the last layer of CRF-RNN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffezoo.net.host_layer import HostLayer
from caffezoo.net.lattice import place
from caffezoo.net.layer import Shape, register
from caffezoo.net.own_fields import fields

MOST_PIXELS = 1 << 22
MOST_ITERATIONS = 1000


@register("MultiStageMeanfield")
class MultiStageMeanfield(HostLayer):
    """Mean field inference of a dense CRF as ``num_iterations`` rounds (Zheng et al., 2015).

    Bottoms: unary scores, scores to start from, and the image [1, 3, H, W]. Each round takes the softmax q of the last
    scores and gives ``unary - compatibility (spatial s(q) + bilateral b(q))``: s filters over places by a Gaussian of
    ``theta_gamma`` px, b over places (``theta_alpha`` px) and colours (``theta_beta``), both on the permutohedral
    lattice and divided by what they make of 1. Blobs: spatial, bilateral and compatibility matrix, each [1, 1, C, C].
    Source: ``multi_stage_meanfield.cpp`` and ``meanfield_iteration.cpp`` of torrvision/crfasrnn, which read one image.
    """

    param_name = "multi_stage_meanfield_param"
    own_fields = fields(
        num_iterations=int,
        compatibility_mode="POTTS",
        threshold=float,
        theta_alpha=float,
        theta_beta=float,
        theta_gamma=float,
        spatial_filter_weight=float,
        bilateral_filter_weight=float,
    )
    bottom_count = (3, 3)

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, start, image = bottoms
        p = self.param
        if None in (p.num_iterations, p.theta_alpha, p.theta_beta, p.theta_gamma):
            self.fail("takes num_iterations, theta_alpha, theta_beta and theta_gamma")
        if not 1 < p.num_iterations <= MOST_ITERATIONS:
            self.fail(f"num_iterations {p.num_iterations} must be from 2 to {MOST_ITERATIONS}")
        if min(p.theta_alpha, p.theta_beta, p.theta_gamma) <= 0:
            self.fail("theta_alpha, theta_beta and theta_gamma must be positive")
        if len(x) != 4 or x[0] != 1 or start != x or image != (1, 3, *x[2:]):
            self.fail(f"takes scores twice and the image of one sample, has {x}, {start} and {image}")
        if math.prod(x[2:]) > MOST_PIXELS:
            self.fail(f"{math.prod(x[2:])} pixels are more than {MOST_PIXELS}")
        return [x]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        classes = bottoms[0][1]
        return [(1, 1, classes, classes)] * 3

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        shape = bottoms[0].shape
        unary, scores = (x.reshape(shape[1], -1).astype(np.float64) for x in bottoms[:2])
        spatial, bilateral, compatibility = (b.reshape(shape[1], shape[1]).astype(np.float64) for b in blobs)
        rows, columns = np.indices(shape[2:], np.float32)
        places = np.stack([columns.ravel(), rows.ravel()], 1)
        colours = bottoms[2].reshape(3, -1).T.astype(np.float32)
        near = place(places / np.float32(self.param.theta_gamma))
        alike = place(
            np.concatenate(
                [places / np.float32(self.param.theta_alpha), colours / np.float32(self.param.theta_beta)], 1
            )
        )
        one = np.ones((1, places.shape[0]))
        norms = [1 / (lattice.filtered(one) + 1e-20) for lattice in (near, alike)]
        for _ in range(self.param.num_iterations):
            q = np.exp(scores - scores.max(0))
            q /= q.sum(0)
            message = spatial @ (near.filtered(q) * norms[0]) + bilateral @ (alike.filtered(q) * norms[1])
            scores = unary - compatibility @ message
        return [scores.reshape(shape).astype(np.float32)]
