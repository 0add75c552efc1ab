"""AUMaskBasedLand: the masks of a face by loops, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffezoo.errors import EngineError, ShapeError
from tests.net.layers.opencv_runs import engine_outputs, network_of

TOPS = " ".join(f'top: "m{k}"' for k in range(13))
PARAM = 'img_size: 176 spatial_ratio: 0.14 spatial_scale: 0.25 fill_type: "manhattan" fill_coeff: 0.04'
TEXT = f'name: "l" type: "AUMaskBasedLand" bottom: "x" {TOPS} au_mask_based_land_param {{ {PARAM} }}'
CENTRES = [
    *((0, 4, -0.5), (0, 5, -0.5), (1, 1, -1 / 3), (1, 8, -1 / 3), (2, 2, 1 / 3), (2, 7, 1 / 3), (3, 24, 1), (3, 29, 1)),
    *((4, 21, 0), (4, 26, 0), (5, 43, 0), (5, 45, 0), (6, 31, 0), (6, 37, 0), (7, 31, 0), (7, 37, 0), (8, 31, 0)),
    *((8, 37, 0), (9, 39, 0.5), (9, 41, 0.5), (10, 34, 0), (10, 40, 0), (11, 34, 0), (11, 40, 0)),
]


def away_from_0(value: float) -> int:
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def masks_by_loops(points: np.ndarray) -> np.ndarray:
    """Return [13, N, 44, 44] as the fork's loops have it."""
    found = np.zeros((13, len(points), 44, 44))
    for n, face in enumerate(points.reshape(len(points), -1, 2).astype(float)):
        ruler = abs(face[22, 0] - face[25, 0])
        for unit, point, down in CENTRES:
            x, y = face[point, 0], face[point, 1] + down * ruler
            half = 175 / 2 * 0.14
            edges = [min(max(away_from_0((v + s * half) * 0.25), 0), 43) for s in (-1, 1) for v in (x, y)]
            for h in range(edges[1], edges[3] + 1):
                for w in range(edges[0], edges[2] + 1):
                    value = max(1 - (abs(h - y * 0.25) + abs(w - x * 0.25)) * 0.04 * (100 / 44), 0)
                    found[unit, n, h, w] = value
                    found[12, n, h, w] = max(found[12, n, h, w], value)
    return found


def test_masks_are_those_of_the_loops() -> None:
    x = np.random.default_rng(3).uniform(-10, 190, (2, 98)).astype(np.float32)
    found = engine_outputs(network_of(TEXT, {"x": x}), {"x": x})
    wanted = masks_by_loops(x)
    for k in range(13):
        np.testing.assert_allclose(found[f"m{k}"][:, 0], wanted[k], atol=1e-5)


@pytest.mark.parametrize(
    ("was", "is_"), [("manhattan", "gauss"), ("img_size: 176", "img_size: 1e9"), ("spatial_ratio: 0.14", "")]
)
def test_other_settings_are_refused(was: str, is_: str) -> None:
    with pytest.raises(ShapeError, match=r"layer 'l' \(AUMaskBasedLand\)"):
        network_of(TEXT.replace(was, is_), {"x": np.zeros((1, 98), np.float32)})


def test_landmarks_that_are_not_finite_are_refused() -> None:
    x = np.full((1, 98), np.nan, np.float32)
    with pytest.raises(EngineError, match="not finite"):
        engine_outputs(network_of(TEXT, {"x": x}), {"x": x})
