"""AUMaskBasedLand: where a face's muscles act, as masks around its landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.own_fields import fields

UNITS = 12
POINTS = 49
INNER_EYES = (22, 25)
CENTRES: tuple[tuple[tuple[int, float], tuple[int, float]], ...] = (
    ((4, -1 / 2), (5, -1 / 2)),
    ((1, -1 / 3), (8, -1 / 3)),
    ((2, 1 / 3), (7, 1 / 3)),
    ((24, 1), (29, 1)),
    ((21, 0), (26, 0)),
    ((43, 0), (45, 0)),
    *(((31, 0), (37, 0)),) * 3,
    ((39, 1 / 2), (41, 1 / 2)),
    *(((34, 0), (40, 0)),) * 2,
)
"""Of each action unit the two landmarks that it lies at, and how many distances of the inner eyes below them."""


@register("AUMaskBasedLand")
class ActionUnitMasks(HostLayer):
    """A mask [N, 1, S, S] of each of 12 action units, and of all, from 49 landmarks x, y in pixels.

    S is ``img_size`` times ``spatial_scale``. Around each of a unit's two centres, in a square of ``spatial_ratio`` of
    the image, the mask is 1 less ``fill_coeff`` for every hundredth of S that a place is away, rows and columns added,
    and elsewhere ``fill_value``; of two squares that meet, the second stands. The mask of all has the largest value
    (``au_mask_based_land_layer.cpp`` of JAA-Net, Shao and others, ECCV 2018).
    """

    param_name = "au_mask_based_land_param"
    own_fields = fields(
        img_size=0.0, spatial_ratio=0.0, spatial_scale=0.0, fill_type="manhattan", fill_coeff=0.0, fill_value=0.0
    )
    top_count = (UNITS + 1, UNITS + 1)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p, x = self.param, bottoms[0]
        if not x or int(np.prod(x[1:])) < 2 * POINTS:
            self.fail(f"takes x and y of {POINTS} landmarks a sample, has {x}")
        if not 1 <= self._size() <= 4096 or not 0 < p.spatial_ratio <= 1:
            self.fail("takes an img_size and a spatial_scale of up to 4096 px together, and a spatial_ratio up to 1")
        if p.fill_type != "manhattan":
            self.fail(f"takes fill_type 'manhattan', has '{p.fill_type}'")
        return [(x[0], 1, self._size(), self._size())] * (UNITS + 1)

    def _size(self) -> int:
        return int(np.floor(self.param.img_size * self.param.spatial_scale + 0.5))

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        p, size = self.param, self._size()
        samples = bottoms[0].reshape(len(bottoms[0]), -1).astype(np.float64)
        tops = np.full((UNITS + 1, len(samples), 1, size, size), p.fill_value, np.float32)
        half = (p.img_size - 1) / 2 * p.spatial_ratio
        slope = p.fill_coeff * 100 / (p.img_size * p.spatial_scale)
        for n, flat in enumerate(samples):
            points = flat[: flat.size // 2 * 2].reshape(-1, 2)
            ruler = abs(points[INNER_EYES[0], 0] - points[INNER_EYES[1], 0])
            for unit, centres in enumerate(CENTRES):
                for point, down in centres:
                    centre = points[point] + (0, down * ruler)
                    low, high = (
                        np.clip(_rounded((centre + side) * p.spatial_scale), 0, size - 1) for side in (-half, half)
                    )
                    x, y = centre * p.spatial_scale
                    columns, rows = (np.arange(a, b + 1) for a, b in zip(low, high, strict=True))
                    steps = abs(rows[:, None] - y) + abs(columns[None] - x)
                    place = (n, 0, slice(low[1], high[1] + 1), slice(low[0], high[0] + 1))
                    tops[unit][place] = np.maximum(1 - steps * slope, p.fill_value)
                    tops[UNITS][place] = np.maximum(tops[UNITS][place], tops[unit][place])
        return list(tops)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return the nearest whole numbers, halves away from 0 as C's round has it."""
    nearest = np.sign(values) * np.floor(abs(values) + 0.5)
    return np.asarray(np.clip(nearest, -(2**31), 2**31 - 1), np.int64)
