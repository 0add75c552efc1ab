"""DenseCRF and DomainTransform: what DeepLab's Caffe sharpens a segmentation with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffezoo.net.host_layer import HostLayer
from caffezoo.net.lattice import Lattice, place
from caffezoo.net.layer import Shape, register
from caffezoo.net.own_fields import fields

MOST_PIXELS = 1 << 22
MOST_ITERATIONS = 1000
SMALLEST_EXPONENT = -20.0
"""Below it the exponential function of Kraehenbuehl's library is 0."""


class Sharpened(HostLayer):
    """A layer over maps, of which each sample's third bottom or the like says how much of it is image."""

    bottom_count = (3, 3)
    sizes_at: int

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def check_maps(self, bottoms: Sequence[Shape], iterations: int) -> None:
        """Raise unless the maps, the sizes of the images and the number of rounds are in bounds."""
        x, sizes = bottoms[0], bottoms[self.sizes_at]
        if len(x) != 4 or not sizes or sizes[0] != x[0] or math.prod(sizes[1:]) < 2:
            self.fail(f"takes maps, and height and width of each image, has {x} and {sizes}")
        if math.prod(x[2:]) > MOST_PIXELS:
            self.fail(f"{math.prod(x[2:])} pixels are more than {MOST_PIXELS}")
        if not 1 <= iterations <= MOST_ITERATIONS:
            self.fail(f"{iterations} rounds are not from 1 to {MOST_ITERATIONS}")

    def sizes(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Return height and width of each image, [N, 2]."""
        found = bottoms[self.sizes_at].reshape(len(bottoms[0]), -1)[:, :2].astype(np.int64)
        if found.min() < 1:
            self.fail_values("an image has no pixel")
        return np.asarray(found)


@register("DenseCRF")
class DenseCRF(Sharpened):
    """Mean field inference of a dense CRF (Kraehenbuehl and Koltun, 2011): ``max_iter`` rounds of softmax and messages.

    Bottoms: scores [N, C, H, W], height and width of each image [N, 2...], images [N, 3, H, W], of which the source
    reads the first one for all. Each round adds to the scores, for every pair of ``pos_xy_std`` and ``pos_w``, the
    softmax filtered by a Gaussian over places, and for every ``bi_xy_std``, ``bi_rgb_std`` and ``bi_w`` over places
    and colours, on the permutohedral lattice. Top: the probabilities, or with ``output_probability: false`` their
    logarithms, 0 outside of the image. Source: ``densecrf_layer.cpp`` and ``densecrf_pairwise.cpp`` of DeepLab.
    """

    param_name = "dense_crf_param"
    own_fields = fields(
        max_iter=10,
        pos_xy_std=[float],
        pos_w=[float],
        bi_xy_std=[float],
        bi_rgb_std=[float],
        bi_w=[float],
        output_probability=True,
    )
    sizes_at = 1

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p, x = self.param, bottoms[0]
        self.check_maps(bottoms, p.max_iter)
        if len(p.pos_w) != len(p.pos_xy_std) or not len(p.bi_w) == len(p.bi_xy_std) == len(p.bi_rgb_std):
            self.fail("pos_w and pos_xy_std, and bi_w, bi_xy_std and bi_rgb_std, go together")
        if not p.bi_w:
            self.fail("takes bi_w, bi_xy_std and bi_rgb_std")
        if min(*p.pos_xy_std, *p.bi_xy_std, *p.bi_rgb_std) <= 0:
            self.fail("deviations must be positive")
        if bottoms[2] != (x[0], 3, *x[2:]):
            self.fail(f"takes colour images of the maps' size, has {x} and {bottoms[2]}")
        return [x]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        top = np.zeros_like(bottoms[0])
        for n, (height, width) in enumerate(self.sizes(bottoms)):
            if top.shape[2] <= height and top.shape[3] <= width:
                height, width = top.shape[2:]
            elif height > top.shape[2] or width > top.shape[3]:
                self.fail_values(f"an image of {height} x {width} px is partly within maps of {top.shape[2:]}")
            scores = bottoms[0][n, :, :height, :width].reshape(top.shape[1], -1).astype(np.float64)
            filters = self._filters(bottoms[2][0, :, :height, :width])
            q = self._softmax(scores)
            for _ in range(self.param.max_iter):
                q = self._softmax(scores + sum(w * lattice.filtered(q) * norm for w, lattice, norm in filters))
            if not self.param.output_probability:
                q = np.log(np.maximum(q, np.finfo(np.float32).tiny))
            top[n, :, :height, :width] = q.reshape(-1, height, width)
        return [top]

    def _filters(self, image: np.ndarray) -> list[tuple[float, Lattice, np.ndarray]]:
        """Return weight, lattice and norm of every filter over an image [3, H, W]."""
        p = self.param
        rows, columns = np.indices(image.shape[1:], np.float32)
        places = np.stack([columns.ravel(), rows.ravel()], 1)
        colours = image.reshape(3, -1).T.astype(np.float32)
        features = [(w, places / np.float32(s)) for w, s in zip(p.pos_w, p.pos_xy_std, strict=True)]
        for w, s, t in zip(p.bi_w, p.bi_xy_std, p.bi_rgb_std, strict=True):
            features.append((w, np.concatenate([places / np.float32(s), colours / np.float32(t)], 1)))
        one = np.ones((1, len(places)))
        lattices = [(w, place(f)) for w, f in features]
        return [(w, lattice, 1 / (lattice.filtered(one) + 1e-20)) for w, lattice in lattices]

    @staticmethod
    def _softmax(scores: np.ndarray) -> np.ndarray:
        scores = scores - scores.max(0)
        powers = np.where(scores < SMALLEST_EXPONENT, 0, np.exp(scores))
        return np.asarray(powers / powers.sum(0))


@register("DomainTransform")
class DomainTransform(Sharpened):
    """A map smoothed where a reference has no edge, to the right, left, down and up, ``num_iter`` times.

    Bottoms: maps [N, C, H, W], the reference [N, 1, H, W], height and width of each image. A pixel moves to its
    neighbour by ``exp(-sqrt(2) / s (1 + r spatial_sigma / range_sigma))`` of what lies between them, at least
    ``min_weight``, with r at the later of both and ``s = spatial_sigma sqrt(3) 2^(n - i) / sqrt(4^n - 1)`` in round i
    (Gastal and Oliveira, 2011; Chen et al., 2016; ``domain_transform_layer.cpp`` of DeepLab).
    """

    param_name = "domain_transform_param"
    own_fields = fields(num_iter=3, spatial_sigma=50.0, range_sigma=5.0, min_weight=0.0)
    sizes_at = 2

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, p = bottoms[0], self.param
        self.check_maps(bottoms, p.num_iter)
        if bottoms[1] != (x[0], 1, *x[2:]):
            self.fail(f"takes a reference of one channel, has {bottoms[1]} for {x}")
        if min(p.spatial_sigma, p.range_sigma) <= 0 or p.min_weight < 0:
            self.fail("spatial_sigma and range_sigma must be positive, and min_weight not negative")
        return [x]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms[:2])
        p, top = self.param, bottoms[0].astype(np.float64)
        for n, (height, width) in enumerate(self.sizes(bottoms)):
            if height > top.shape[2] or width > top.shape[3]:
                self.fail_values(f"an image of {height} x {width} px is larger than its maps {top.shape[2:]}")
            y = top[n, :, :height, :width]
            reference = 1 + bottoms[1][n, 0, :height, :width].astype(np.float64) * (p.spatial_sigma / p.range_sigma)
            for i in range(1, p.num_iter + 1):
                sigma = p.spatial_sigma * math.sqrt(3) * 2.0 ** (p.num_iter - i) / math.sqrt(4.0**p.num_iter - 1)
                with np.errstate(over="ignore"):
                    weight = np.minimum(np.maximum(np.exp(-math.sqrt(2) / sigma * reference), p.min_weight), 1)
                for maps, weights in ((y.transpose(2, 0, 1), weight.T), (y.transpose(1, 0, 2), weight)):
                    for at in range(1, len(maps)):
                        maps[at] += weights[at] * (maps[at - 1] - maps[at])
                    for at in range(len(maps) - 2, -1, -1):
                        maps[at] += weights[at + 1] * (maps[at + 1] - maps[at])
        return [top.astype(np.float32)]
